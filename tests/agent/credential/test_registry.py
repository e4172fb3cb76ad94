"""The registry: one format a payload, one error, modules only when needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agent.credential import registry
from agent.credential.model import FormatName, Rejected
from agent.credential.numbers import Claim
from agent.reason import Reason
from tests.support.refusals import refused


def test_every_format_of_the_model_that_is_registered_has_its_module():
    for name, module in registry.FORMATS.items():
        loaded = registry.load_format(name)
        assert loaded.__name__ == module == f"agent.credential.{name}"
        assert callable(loaded.sniff)
        assert callable(loaded.read)


@pytest.mark.parametrize("payload", [b"", b"\x00", b"NI1", b"ni1:", b"\xff" * 4296, b"0" * 4296])
def test_sniffing_never_raises(payload):
    for name in registry.FORMATS:
        assert registry.load_format(name).sniff(payload) in {True, False}


def test_the_native_prefix_is_nobody_elses(pilot):
    payload = pilot.static().encode()
    assert registry.sniff(payload) is FormatName.NATIVE
    assert next(iter(registry.FORMATS)) is FormatName.NATIVE


@pytest.mark.parametrize("error", [ValueError("4711"), KeyError("4711"), IndexError("4711")])
def test_a_formats_slip_is_one_reason_and_quotes_nothing(pilot, monkeypatch, error):
    def read(payload, keys, rules):
        raise error

    slipping = SimpleNamespace(sniff=lambda payload: True, read=read)
    monkeypatch.setattr(registry, "load_format", lambda name: slipping)
    with pytest.raises(Rejected) as refused:
        pilot.read("anything")
    assert refused.value.reason is Reason.MALFORMED
    assert "4711" not in str(refused.value)


def test_a_fault_of_our_own_is_not_taken_for_a_bad_code(pilot, monkeypatch):
    def read(payload, keys, rules):
        raise TypeError

    slipping = SimpleNamespace(sniff=lambda payload: True, read=read)
    monkeypatch.setattr(registry, "load_format", lambda name: slipping)
    with pytest.raises(TypeError):
        pilot.read("anything")


def test_a_payload_over_the_limit_is_not_even_sniffed(pilot, monkeypatch):
    words = "a character left over"
    assert refused(pilot.read, b"NI1:" + b"0" * 4291) == (Reason.MALFORMED, f"base45: {words}")
    assert refused(pilot.read, b"NI1:" + b"0" * 4292)[0] is Reason.MALFORMED
    assert refused(pilot.read, b"1" * 7089)[0] is not Reason.TOO_LARGE
    monkeypatch.setattr(registry, "sniff", lambda payload: pytest.fail("sniffed"))
    assert refused(pilot.read, b"1" * 7090)[0] is Reason.TOO_LARGE
    assert refused(pilot.read, b"1" * 4296 + b"N")[0] is Reason.TOO_LARGE
    told = refused(pilot.read, b"N" * 4297)
    assert told == (Reason.TOO_LARGE, "4297 bytes, 4296 allowed (7089 where all are digits)")


def test_prefixes_are_asked_before_shapes():
    assert list(registry.FORMATS) == ["native", "dcc", "transit", "aadhaar", "pretix", "claim169"]
    assert set(registry.FORMATS) == set(FormatName)


def test_the_log_says_which_format_it_was(pilot, monkeypatch):
    told = refused(pilot.read, b"https://example.org/")
    assert told == (Reason.UNKNOWN_FORMAT, "no format recognises it")
    told = refused(pilot.read, pilot.static(), formats=frozenset({FormatName.DCC}))
    assert told == (Reason.FORMAT_NOT_ACCEPTED, "native")

    def read(payload, keys, rules):
        raise KeyError

    slipping = SimpleNamespace(sniff=lambda payload: True, read=read)
    monkeypatch.setattr(registry, "load_format", lambda name: slipping)
    assert refused(pilot.read, "anything") == (Reason.MALFORMED, "native: KeyError")


def test_what_a_format_is_handed(pilot, monkeypatch):
    """The payload as it came, the gate's keys and its rules; what it returns is what is read."""
    handed = []

    def read(*arguments):
        handed.extend(arguments)
        return "credential"

    slipping = SimpleNamespace(sniff=lambda payload: payload == b"payload", read=read)
    monkeypatch.setattr(registry, "load_format", lambda name: slipping)
    rules = pilot.rules()
    assert registry.read(b"payload", keys=pilot.keys, rules=rules) == "credential"
    assert handed == [b"payload", pilot.keys, rules]
    assert registry.sniff(b"other") is None


def test_rules_that_a_site_leaves_out():
    rules = registry.ReadRules(now=1, clock_trusted=True, site="s", gate="g")
    assert rules.formats == frozenset(FormatName)
    assert (rules.challenge, rules.site_keys) == (None, ())
    assert (rules.max_age_s, rules.max_future_s) == (30, 5)
    assert "secret" not in repr(replace(rules, site_keys=(b"secret" * 6,)))


def test_every_format_can_be_loaded_ahead(monkeypatch):
    loaded = []
    monkeypatch.setattr(registry, "load_format", loaded.append)
    registry.load_all()
    assert loaded == list(registry.FORMATS)


def test_modules_are_imported_when_needed(pilot):
    """A native code loads no other format, and no library that it does not need."""
    program = """
import sys
from agent.credential import registry
before = [name for name in registry.FORMATS.values() if name in sys.modules]
assert not before, before
assert registry.sniff(sys.argv[1].encode()) == "native"
loaded = {name for name in registry.FORMATS.values() if name in sys.modules}
assert loaded == {"agent.credential.native"}, loaded
heavy = {"numpy", "brotli", "cv2", "segno", "agent.credential.sm2", "cbor2", "cwt"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, pilot.static()],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_first_code_waits_for_no_import() -> None:
    code = (
        "import sys; from agent.credential import registry\n"
        "registry.load_all(); before = set(sys.modules)\n"
        "for text in (b'x', b'NI1:X', b'HC1:X', b'7' * 900): registry.sniff(text)\n"
        "print(sorted(set(sys.modules) - before), set(registry.FORMATS.values()) <= before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"


TOLERANT = {
    FormatName.NATIVE: registry.Tolerance(future_s=60, past_s=90, age_s=45),
    FormatName.DCC: registry.Tolerance(future_s=300, past_s=300, age_s=300),
}
NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"at": NOW + 60}, Reason.GRANTED),
        ({"at": NOW + 61}, Reason.ISSUED_IN_FUTURE),
        ({"at": NOW - 45}, Reason.GRANTED),
        ({"at": NOW - 46}, Reason.STALE),
        ({"claims": {Claim.NBF: NOW + 60}}, Reason.GRANTED),
        ({"claims": {Claim.NBF: NOW + 61}}, Reason.NOT_YET_VALID),
        ({"claims": {Claim.EXP: NOW - 89}}, Reason.GRANTED),
        ({"claims": {Claim.EXP: NOW - 90}}, Reason.EXPIRED),
    ],
    ids=str,
)
def test_a_format_has_its_own_tolerances(pilot, change, expected):
    assert pilot.reason(pilot.dynamic(**change), tolerances=TOLERANT) is expected


def test_tolerances_of_one_format_are_no_others(pilot):
    only = {FormatName.DCC: TOLERANT[FormatName.DCC]}
    assert pilot.reason(pilot.dynamic(at=NOW + 6), tolerances=only) is Reason.ISSUED_IN_FUTURE
    assert pilot.reason(pilot.dynamic(at=NOW - 31), tolerances=only) is Reason.STALE
    over = pilot.static(pilot.credential(valid_until=NOW - 1))
    assert pilot.reason(over, tolerances=only) is Reason.EXPIRED
    assert pilot.reason(over, tolerances=TOLERANT) is Reason.GRANTED


def test_rules_within_a_tolerance(pilot):
    rules = pilot.rules().within(registry.Tolerance(future_s=1, past_s=2, age_s=30))
    assert (rules.max_future_s, rules.max_past_s, rules.max_age_s) == (1, 2, 30)
    assert (registry.Tolerance(), registry.MAX_FUTURE_S) == (
        registry.Tolerance(future_s=5, past_s=0, age_s=30),
        5,
    )


@pytest.mark.parametrize(
    ("payload", "may"),
    [
        (b"https://example.com/menu", False),
        (b"HTTPS://EXAMPLE.COM/MENU", False),  # base45, as codes of Claim 169 are
        (b"HTTPS://EXAMPLE.COM/" + b"X" * 65, False),
        (b"HTTPS://EXAMPLE.COM/" + b"X" * 66, True),
        (b"WIFI:S:CAFE;T:WPA;P:SECRET;;", False),
        (b"4006381333931", False),
        (b"NI1:" + b"A" * 81, False),
        (b"NI1:" + b"A" * 82, True),
        (b"NI2:" + b"A" * 82, True),
        (b"HC1:" + b"A" * 82, True),
        (b"A" * 84 + b"QA", True),
        (b"x" * 500, False),
        (b"", False),
    ],
)
def test_what_may_be_a_credential_has_room_for_a_signature(payload, may):
    assert registry.may_be_credential(payload) is may


@pytest.mark.parametrize(("size", "may"), [(63, False), (64, True), (85, True)])
def test_a_binary_code_is_shorter_than_text(monkeypatch, size, may):
    monkeypatch.setattr(registry, "sniff", lambda payload: FormatName.TRANSIT)
    assert registry.may_be_credential(bytes(size)) is may
