"""Configuration from afar: whole or not at all, and never what must stay local."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.report.desired import (
    AHEAD_S,
    CONFIG_TYPE,
    LIFE_S,
    NEVER,
    REMOTE,
    DesiredConfig,
    desired_claims,
    overlay,
)
from agent.report.link import Received
from agent.report.topics import GateAddress
from agent.settings.load import parse
from agent.settings.model import Config, GateConfig, MqttConfig
from tests.support.paths import ROOT

GATE = GateAddress("station", "gate-1")
NOW = 1_800_000_000.0
BASE = Config(gate=GateConfig(site="station", gate="gate-1"), mqtt=MqttConfig())


class Rig:
    """A gate's desired configuration with its outside recorded."""

    def __init__(self, path: Path, operator) -> None:
        self.operator = operator
        self.applied: list[Config] = []
        self.said: list[dict] = []
        self.complaint = ""
        self.now: float | None = NOW
        self.part = DesiredConfig(
            BASE, GATE, path, operator=operator.lookup, apply=self.apply, clock=lambda: self.now
        )
        self.part.attach(lambda message: self.said.append(json.loads(message.payload)))

    def apply(self, config: Config) -> str:
        if not self.complaint:
            self.applied.append(config)
        return self.complaint

    def take(
        self, version: int, values: dict, *, gate=GATE, content=CONFIG_TYPE, **changes
    ) -> dict:
        claims = desired_claims(gate, version=version, values=values, issued_at=int(NOW)) | {
            int(key): value for key, value in changes.items()
        }
        return self.raw(self.operator.signer.sign(claims, content))

    def raw(self, payload: bytes) -> dict:
        message = Received(GATE.topic("config/desired"), payload, 1, retain=True, mid=1)
        assert self.part.received(message)
        return self.said[-1] if self.said else {}


@pytest.fixture
def rig(tmp_path, operator) -> Rig:
    return Rig(tmp_path / "desired.json", operator)


def test_a_good_state_is_applied_reported_and_kept(rig, tmp_path):
    assert json.loads(rig.part.births()[0].payload)["status"] == "none"
    report = rig.take(1, {"gate.profile": "railway", "gate.denial_s": 2.5, "log.level": "debug"})
    assert report == {
        "version": 1, "status": "applied", "reason": None, "detail": "", "rejected_version": None,
        "values": {"gate.profile": "railway", "gate.denial_s": 2.5, "log.level": "debug"},
    }  # fmt: skip
    assert rig.applied[0].gate.profile == "railway"
    again = Rig(tmp_path / "desired.json", rig.operator)
    assert again.part.effective.gate.profile == "railway"
    assert again.part.effective.gate.site == "station"
    assert json.loads(again.part.births()[0].payload)["version"] == 1


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"gate.denial_s": 2.5, "gate.pulse_ms": 300}, "gate.pulse_ms"),
        ({"gate.denial_s": -1}, "denial_s"),
        ({"gate.denial_s": "long"}, "denial_s"),
        ({"gate.denial_s": [1]}, "denial_s"),
        ({"log.level": "loud"}, "allowed: debug, info"),
        ({"gate.zone": "Hall 3"}, "lower-case letters"),
        ({"gate.region": "Berlin"}, "ISO 3166-2"),
        ({"gate": 1}, "gate"),
        *(({"gate.profile": name}, "no file can be named")
          for name in ("/etc/evil.toml", "../evil", "./x", "fifo/", "", "a\n", ".x", 7, None, "x" * 129)),
        ({"": 1}, ""),
        ({"finger.threshold": 1}, "finger.threshold"),
        *(({key: "x"}, key) for key in NEVER),
    ],
)  # fmt: skip
def test_a_bad_state_is_rejected_whole(rig, values, names):
    rig.take(1, {"gate.profile": "railway"})
    report = rig.take(2, {"gate.region": "CN-31", **values})
    assert (report["status"], report["reason"]) == ("rejected", "not_allowed")
    assert names in report["detail"]
    assert (report["version"], report["rejected_version"]) == (1, 2)
    assert report["values"] == {"gate.profile": "railway"}
    assert rig.part.effective.gate.region == ""
    assert len(rig.applied) == 1


def test_a_state_that_cannot_be_applied_leaves_everything(rig, tmp_path):
    rig.complaint = "no such profile"
    report = rig.take(1, {"gate.profile": "moon"})
    assert (report["reason"], report["detail"]) == ("not_applicable", "no such profile")
    assert not (tmp_path / "desired.json").exists()


def test_versions_only_rise(rig):
    rig.take(5, {"gate.profile": "railway"})
    assert rig.take(4, {"gate.profile": "hotel"})["reason"] == "old_version"
    assert rig.take(5, {"gate.profile": "hotel"})["reason"] == "old_version"
    assert rig.take(5, {"gate.profile": "railway"})["status"] == "applied"
    assert len(rig.applied) == 1
    assert rig.take(6, {})["status"] == "applied"
    assert rig.part.effective.gate.profile == BASE.gate.profile


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("wrong_gate", {"gate": GateAddress("station", "gate-2")}),
        ("wrong_type", {"content": "application/idgate-command+cwt"}),
        ("malformed", {"6": 1, "99": 1}),
        ("malformed", {"-65603": 0}),
        ("malformed", {"-65603": "1"}),
        ("malformed", {"-65603": 2**63}),
        ("malformed", {"6": "now"}),
        ("malformed", {"6": -1}),
        ("malformed", {"6": True}),
        ("malformed", {"-65604": []}),
        ("malformed", {"-65604": {1: 2}}),
    ],
)
def test_refusals(rig, reason, how):
    report = rig.take(1, {"gate.profile": "railway"}, **how)
    assert (report["status"], report["reason"]) == ("rejected", reason)
    assert rig.applied == []


LIVES = [
    ("signed this second", 0, "applied", None),
    ("as old as may be", -LIFE_S, "applied", None),
    ("older", -LIFE_S - 1, "rejected", "stale"),
    ("two years old", -730 * 86_400, "rejected", "stale"),
    ("a little ahead", AHEAD_S, "applied", None),
    ("from the future", AHEAD_S + 1, "rejected", "future"),
]


@pytest.mark.parametrize(
    ("offset", "status", "reason"), [row[1:] for row in LIVES], ids=[row[0] for row in LIVES]
)
def test_a_state_has_its_time(rig, offset, status, reason):
    report = rig.take(3, {"gate.profile": "railway"}, **{"6": int(NOW) + offset})
    assert (report["status"], report["reason"]) == (status, reason)
    assert report["rejected_version"] == (None if status == "applied" else 3)


def test_what_is_in_force_does_not_end(rig):
    values = {"gate.profile": "railway"}
    rig.take(3, values)
    rig.now = NOW + 2 * LIFE_S
    assert rig.take(3, values)["status"] == "applied"  # the broker's retained one, once more
    assert rig.part.effective.gate.profile == "railway"


@pytest.mark.parametrize("version", [int(NOW) + 1, 2**53 - 1])
def test_no_signature_uses_the_versions_up(rig, version):
    report = rig.take(version, {"gate.profile": "railway"})
    assert (report["status"], report["reason"]) == ("rejected", "version_too_high")
    assert rig.take(1, {"gate.profile": "railway"})["status"] == "applied"
    assert rig.take(int(NOW), {"gate.profile": "hotel"})["status"] == "applied"
    rig.now = NOW + 1
    assert rig.take(int(NOW) + 1, {}, **{"6": int(NOW) + 1})["status"] == "applied"


def test_a_state_waits_for_a_time_that_is_believed(rig):
    rig.now = None
    report = rig.take(1, {"gate.profile": "railway"})
    assert (report["status"], report["reason"]) == ("rejected", "clock_untrusted")
    rig.part.retry()
    assert len(rig.said) == 1
    rig.now = NOW
    rig.part.retry()
    assert rig.said[-1]["status"] == "applied"
    rig.part.retry()
    assert len(rig.said) == 2  # once


def test_the_newest_of_those_that_wait_is_judged(rig):
    rig.now = None
    rig.take(1, {"gate.profile": "railway"})
    rig.take(2, {"gate.profile": "hotel"})
    rig.now = NOW
    assert rig.take(3, {"gate.profile": "logistics"})["version"] == 3
    rig.part.retry()
    assert rig.said[-1]["version"] == 3
    assert len(rig.said) == 3


def test_a_kept_state_can_be_left_out(rig):
    rig.take(1, {"gate.profile": "railway"})
    rig.part.leave_out("gate.profile: railway demands less")
    assert rig.part.effective == BASE
    said = json.loads(rig.part.births()[0].payload)
    assert (said["version"], said["status"], said["reason"]) == (0, "rejected", "kept_state")
    assert said["detail"] == "gate.profile: railway demands less"


def test_unsigned_unknown_and_unentitled(rig, make_operator, tmp_path):
    assert rig.raw(b'{"gate":{"profile":"railway"}}')["reason"] == "malformed"
    assert rig.raw(b"\0" * 20_000)["reason"] == "too_large"
    stranger = make_operator()
    claims = desired_claims(GATE, version=1, values={}, issued_at=int(NOW))
    assert rig.raw(stranger.signer.sign(claims, CONFIG_TYPE))["reason"] == "unknown_operator"
    opener = Rig(tmp_path / "other.json", make_operator(roles={"open"}))
    assert opener.take(1, {})["reason"] == "role_missing"


def test_an_empty_message_clears_nothing(rig):
    rig.take(1, {"gate.profile": "railway"})
    rig.raw(b"")
    assert len(rig.said) == 1
    assert rig.part.effective.gate.profile == "railway"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"version":1}', b'{"version":1,"values":{"mqtt.url":"mqtt://evil"}}'],
)
def test_a_damaged_kept_state_is_left_out_and_told(tmp_path, operator, content):
    path = tmp_path / "desired.json"
    path.write_bytes(content)
    rig = Rig(path, operator)
    assert rig.part.effective == BASE
    assert json.loads(rig.part.births()[0].payload)["reason"] == "kept_state"
    assert rig.take(1, {"gate.profile": "railway"})["status"] == "applied"


def test_a_disk_that_refuses_is_said(tmp_path, operator):
    rig = Rig(tmp_path / "nowhere" / "desired.json", operator)
    report = rig.take(1, {"gate.profile": "railway"})
    assert (report["status"], report["reason"]) == ("rejected", "not_kept")
    assert rig.part.refused_by_disk == report["detail"] == "No such file or directory"
    assert rig.part.effective == BASE
    (tmp_path / "nowhere").mkdir()
    assert rig.take(1, {"gate.profile": "railway"})["status"] == "applied"
    assert rig.part.refused_by_disk == ""


def test_every_remote_key_exists_and_none_is_forbidden():
    assert not REMOTE & set(NEVER)
    for key in REMOTE | set(NEVER):
        section, name = key.split(".")
        assert hasattr(getattr(BASE, section), name), key
    same = parse('[gate]\nsite = "station"\ngate = "gate-1"\n', source="t")
    assert overlay(same, {}) == same
    assert not any(key.endswith(("_file", "url", "key", "driver")) for key in REMOTE)


def test_the_docs_name_the_five():
    text = (ROOT / "docs" / "fleet.md").read_text()
    for key in (*NEVER, *REMOTE):
        assert f"`{key}`" in text, key
