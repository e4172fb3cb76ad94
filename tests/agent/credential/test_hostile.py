"""Hostile payloads of every format: nothing but `Rejected` comes out, and it costs little."""

from __future__ import annotations

import dataclasses
import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace

import brotli
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.credential import base45, registry
from agent.credential.issuers import Algorithm
from agent.credential.limits import DIGITS, PAYLOAD_BYTES
from agent.credential.model import Credential, FormatName, Kind, Rejected
from agent.issuing import issue
from agent.reason import Reason
from tests.fuzz import targets
from tests.support import makers as make

FORMATS = list(registry.FORMATS)
MEMORY_LIMIT_BYTES = 8 << 20


def judge(payload: bytes) -> Credential | Reason:
    """Read a payload with a trust set that knows every seed's issuer."""
    try:
        return registry.read(payload, keys=targets.trusted(), rules=targets.RULES)
    except Rejected as error:
        return error.reason


# --- the registry ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_layer_of_a_target_reaches_a_credential(name: FormatName) -> None:
    """A seed that is refused would fuzz nothing behind its first check."""
    target = targets.target(name)
    reached = set()
    for layer, data in target.seeds:
        verdict = judge(target.code(bytes([layer]) + data))
        if isinstance(verdict, Credential):
            assert verdict.format is name
            reached.add(layer)
    # Bytes that are only packed carry no signature of ours in Aadhaar's third layer.
    unsigned = {2} if name is FormatName.AADHAAR else set()
    assert reached == set(range(len(target.layers))) - unsigned


@pytest.mark.parametrize("name", FORMATS)
def test_switched_off_in_the_profile(name: FormatName) -> None:
    target = targets.target(name)
    payload = target.code(next(iter(target.inputs())))
    rules = replace(targets.RULES, formats=frozenset(FormatName) - {name})
    with pytest.raises(Rejected) as caught:
        registry.read(payload, keys=targets.trusted(), rules=rules)
    assert caught.value.reason is Reason.FORMAT_NOT_ACCEPTED


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_believed_without_keys(name: FormatName) -> None:
    target = targets.target(name)
    for layer, data in target.seeds:
        with pytest.raises(Rejected):
            registry.read(
                target.code(bytes([layer]) + data), keys=make.trust(), rules=targets.RULES
            )


@pytest.mark.parametrize("name", FORMATS)
def test_personal_data_stays_out_of_repr_and_details(name: FormatName) -> None:
    target = targets.target(name)
    credential = judge(target.code(next(iter(target.inputs()))))
    assert isinstance(credential, Credential)
    shown = repr(credential)
    hidden = [credential.subject, credential.birth_date, *credential.claims.values()]
    for value in hidden:
        if isinstance(value, str) and len(value) > 3 and "://" not in value and ":" not in value:
            assert value not in shown
    fields = {field.name for field in dataclasses.fields(credential) if not field.repr}
    assert {"subject", "references", "birth_date", "claims", "business"} <= fields


def test_native_credential_is_not_read_as_claim_169() -> None:
    """A key for any format signed a library card; wrapped otherwise it must not become a passport."""
    issuer = issue.Issuer(
        "library", "urn:library", issue.SigningKey(Algorithm.ES256, make.ec_key(9))
    )
    card = issue.sign_credential(
        issuer, None, subject="42", issued_at=make.NOW - 60, valid_until=make.NOW + 60,
        kind=Kind.LIBRARY_CARD, birth_date="1990-01-31", identity={1: "42"},
    )  # fmt: skip
    keys = make.trust(issuer.issuer_key())
    native = registry.read(issue.present(card).encode(), keys=keys, rules=make.RULES)
    assert native.kind is Kind.LIBRARY_CARD
    with pytest.raises(Rejected) as caught:
        registry.read(base45.encode(zlib.compress(card)).encode(), keys=keys, rules=make.RULES)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("make_code", "prefix"),
    [(make.claim169, "NI1:"), (make.claim169, "HC1:"), (make.dcc, "NI1:"), (make.dcc, "")],
    ids=["169 as native", "169 as DCC", "DCC as native", "DCC as 169"],
)
def test_no_format_passes_under_anothers_prefix(
    make_code: Callable[[], bytes], prefix: str
) -> None:
    inner = make_code().removeprefix(b"HC1:")
    keys = make.trust(make.issuer_key(make.ec_key()))
    with pytest.raises(Rejected) as caught:
        registry.read(prefix.encode() + inner, keys=keys, rules=make.RULES)
    assert caught.value.reason is Reason.MISSING_CLAIM


# --- property tests --------------------------------------------------------------------------------

PREFIXES = [
    b"",
    b"NI1:",
    b"NI2:",
    b"HC1:",
    b"\x80\x01\x49\x24",
    b"\x81\xff\xff\x24",
    b"2",
    b"8",
    b"6BF",
    b"NCF",
]
SUFFIXES = [b"", b"QA", b"AQA"]


@settings(max_examples=400, deadline=None)
@given(
    prefix=st.sampled_from(PREFIXES),
    body=st.one_of(
        st.binary(max_size=700),
        st.text(alphabet=base45.ALPHABET.decode(), max_size=700).map(str.encode),
        st.text(alphabet="0123456789", min_size=600, max_size=1500).map(str.encode),
        st.text(alphabet="ABCabc019+/=", max_size=300).map(str.encode),
    ),
    suffix=st.sampled_from(SUFFIXES),
)
def test_random_payloads(prefix: bytes, body: bytes, suffix: bytes) -> None:
    assert isinstance(judge(prefix + body + suffix), Reason)


@settings(max_examples=300, deadline=None)
@given(
    body=st.binary(max_size=400),
    how=st.sampled_from(["zlib", "brotli", "none"]),
    prefix=st.sampled_from(["NI1:", "NI2:", "HC1:", ""]),
)
def test_random_bytes_inside_the_packing(body: bytes, how: str, prefix: str) -> None:
    payload = (prefix + base45.encode(make.pack(body, how))).encode()
    assert isinstance(judge(payload), Reason)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_layers(name: FormatName, data: st.DataObject) -> None:
    """Cut, change, double and insert in a sound input of some layer."""
    target = targets.target(name)
    layer, seed = data.draw(st.sampled_from(target.seeds))
    mutated = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(mutated) - 1)))
        match data.draw(st.sampled_from(["flip", "set", "cut", "insert", "double"])):
            case "flip" if mutated:
                mutated[at] ^= 1 << data.draw(st.integers(0, 7))
            case "set" if mutated:
                mutated[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xBF, 0xF7, 0xFB, 0xFF]))
            case "cut":
                del mutated[at : at + data.draw(st.integers(1, 40))]
            case "insert":
                mutated[at:at] = data.draw(st.binary(min_size=1, max_size=12))
            case _:
                mutated[at:at] = mutated[at : at + 16]
    verdict = judge(target.code(bytes([layer]) + bytes(mutated)))
    assert isinstance(verdict, Credential | Reason)
    assert verdict is not Reason.INTERNAL_ERROR


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(FORMATS), at=st.floats(0, 1), bit=st.integers(0, 7))
def test_one_flipped_bit_never_makes_another_credential(
    name: FormatName, at: float, bit: int
) -> None:
    """A code either dies of the change or still says exactly what was signed."""
    target = targets.target(name)
    payload = target.code(next(iter(target.inputs())))
    whole = judge(payload)
    assert isinstance(whole, Credential)
    position = min(len(payload) - 1, int(at * len(payload)))
    changed = payload[:position] + bytes([payload[position] ^ 1 << bit]) + payload[position + 1 :]
    verdict = judge(changed)
    if isinstance(verdict, Credential):
        assert verdict.subject == whole.subject
        assert verdict.claims == whole.claims
        assert verdict.replay_key == whole.replay_key


# --- cost ------------------------------------------------------------------------------------------


def bomb(pack: Callable[[bytes], bytes], prefix: str = "") -> bytes:
    return (prefix + base45.encode(pack(bytes(3_000_000)))).encode()[:PAYLOAD_BYTES]


def digits(data: bytes) -> bytes:
    return str(int.from_bytes(data, "big")).encode()


COSTLY: dict[str, Callable[[], bytes]] = {
    "zlib bomb, native": lambda: bomb(zlib.compress, "NI1:"),
    "zlib bomb, DCC": lambda: bomb(zlib.compress, "HC1:"),
    "zlib bomb, Claim 169": lambda: bomb(zlib.compress),
    "Brotli bomb, Claim 169": lambda: bomb(brotli.compress),
    "gzip bomb, Aadhaar": lambda: digits(gzip.compress(bytes(1_500_000), mtime=0)),
    "zlib bomb, Aadhaar": lambda: digits(zlib.compress(bytes(1_500_000), 9)),
    "as many digits as fit": lambda: b"9" * DIGITS,
    "as much base45 as fits": lambda: b"%%%" * (PAYLOAD_BYTES // 3),
    "as much base64 as fits": lambda: b"A" * (PAYLOAD_BYTES - 2) + b"QA",
    "array that claims 2^32 elements": lambda: make.claim169(b"\x9a" + b"\xff" * 4 + bytes(2_000)),
    "map that claims 2^16 pairs": lambda: make.claim169(b"\xb9\xff\xff" + bytes(2_000)),
    "16 KiB of empty arrays": lambda: make.claim169(b"\x99\x3e\x00" + b"\x80" * 0x3E00),
    "16 KiB of empty maps in the DCC": lambda: make.dcc([{}] * 12_000),
    "deep nesting": lambda: make.claim169(b"\x81" * 16_000),
}


@pytest.mark.parametrize("case", COSTLY)
def test_memory_is_bounded(case: str) -> None:
    payload = COSTLY[case]()
    judge(payload)  # imports and tables are no cost of the code
    tracemalloc.start()
    verdict = judge(payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(verdict, Reason)
    assert peak < MEMORY_LIMIT_BYTES


@pytest.mark.parametrize("size", [DIGITS, 1_000_000])
@pytest.mark.parametrize("text", [b"1", b"A", b"\x80", b"NI1:", b"HC1:"])
def test_more_than_a_symbol_holds_is_refused_before_anything_else(size: int, text: bytes) -> None:
    assert judge(text + b"0" * size) is Reason.TOO_LARGE
