"""Names that are made of a site's and a gate's: another for every gate."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.report.discovery import discovery_payload, discovery_topic
from agent.report.payloads import GateInfo
from agent.report.topics import GateAddress

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,6}", fullmatch=True)
GATES = st.builds(GateAddress, NAMES, NAMES)


@pytest.mark.parametrize(
    ("site", "gate", "client_id", "identifier"),
    [
        ("hall", "north", "idgate-hall-north", "hall_north"),
        ("hall", "gate-1", "idgate-hall-gate--1", "hall_gate-1"),
        ("a-b", "c", "idgate-a--b-c", "a-b_c"),
        ("a", "b-c", "idgate-a-b--c", "a_b-c"),
        ("a_b", "c", "idgate-a_b-c", "a__b_c"),
        ("a.b", "c", "idgate-a.b-c", "a_-b_c"),
        ("a-", "b", "idgate-a---b", "a-_b"),
    ],
)
def test_ids(site: str, gate: str, client_id: str, identifier: str) -> None:
    address = GateAddress(site, gate)
    assert (address.client_id, address.identifier) == (client_id, identifier)


def test_short_names_never_meet() -> None:
    """All of one to three characters, of the alphabet's kinds."""
    names = [
        "".join(letters)
        for size in (1, 2, 3)
        for letters in product("a.-_", repeat=size)
        if letters[0] == "a"
    ]
    gates = [GateAddress(site, gate) for site in names for gate in names]
    assert len({gate.client_id for gate in gates}) == len(gates)
    assert len({gate.identifier for gate in gates}) == len(gates)
    tools = {f"idgate--{role}-{host}" for role in ("a", "a-") for host in names}
    assert not tools & {gate.client_id for gate in gates}


@given(GATES, GATES)
def test_no_two_gates_share_a_name(one: GateAddress, two: GateAddress) -> None:
    assert (one.client_id == two.client_id) is (one == two)
    assert (one.identifier == two.identifier) is (one == two)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", one.identifier)


@pytest.mark.parametrize(("length", "kept"), [(60, True), (61, False)])
def test_a_long_client_id_is_a_hash(length: int, kept: bool) -> None:
    one, two = (GateAddress("s" * 60, letter * length) for letter in "ab")
    assert (one.client_id == f"idgate-{one.site}-{one.gate}") is kept
    assert one.client_id != two.client_id
    assert len(one.client_id) <= 128


def test_cards_and_their_parts_never_meet() -> None:
    gates = [GateAddress("a_b", "c"), GateAddress("a", "b_c"), GateAddress("a.b", "c")]
    seen: list[str] = [discovery_topic(gate) for gate in gates]
    for gate in gates:
        info = GateInfo(
            version="1", site=gate.site, gate=gate.gate, profile="p", direction="in", boot_id="0",
            started_at=0.0,
        )  # fmt: skip
        found = discovery_payload(gate, info, open_button=True)
        seen += found["device"]["identifiers"]
        seen += [each["unique_id"] for each in found["components"].values()]
    assert len(set(seen)) == len(seen)
