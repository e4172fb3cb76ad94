"""What a place asks, held against codes by the running daemon: profile after profile by SIGHUP."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import pytest

from agent.credential.issuers import Algorithm
from agent.credential.model import Kind
from agent.issuing.issue import Issuer, new_issuer, present, sign_credential, sign_ticket
from agent.issuing.keys import SigningKey
from agent.trust.roster import RosterEntry, write_roster
from tests.support import makers
from tests.support.gate_on_disk import DAY, PASSAGE, RELAY, GateOnDisk, until

SITE_KEY, OTHER_SITE_KEY, ROSTER_KEY = bytes(range(32)), bytes(32), bytes(reversed(range(32)))
SEATED, GONE = makers.pretix().decode(), makers.pretix(makers.ticket(seed=b"gone")).decode()
BASE = 'name = "door"\ntitle = "t"\nkinds = ["library-card"]\nreuse_s = 0\n'


@dataclass
class Town:
    """A gate at which the profile can be changed, and who makes codes for it."""

    gate: GateOnDisk
    railway: Issuer
    reloads: int = 0

    def profile(self, *lines: str) -> None:
        """Bring a profile into force in the running daemon."""
        (self.gate.path / "door.toml").write_text(BASE + "\n".join(lines))
        self.reloads += 1
        self.gate.processes[-1].send_signal(signal.SIGHUP)
        until(lambda: self.gate.log().count('"reloaded"') == self.reloads, "reloaded")

    def code(self, **change: object) -> str:
        """Make a code, presented with `challenge` and `ticket`, encrypted under `site_key`."""
        words = ("challenge", "ticket", "site_key")
        shown = {name: change.pop(name) for name in words if name in change}
        now = int(time.time())
        values = {"subject": "4711", "issued_at": now - DAY, "valid_until": now + DAY} | change
        credential = sign_credential(
            self.gate.issuer,
            self.gate.holder,
            kind=Kind.LIBRARY_CARD,
            **values,  # type: ignore[arg-type]
        )
        return present(credential, self.gate.holder, at=now, **shown)  # type: ignore[arg-type]

    def ticket(self, valid_until: int) -> bytes:
        return sign_ticket(
            self.railway,
            self.gate.holder,
            subject="seat",
            issued_at=valid_until - DAY,
            valid_until=valid_until,
        )


@pytest.fixture
def town(gate: GateOnDisk) -> Town:
    railway = new_issuer("railway", "EdDSA")
    trust, now = gate.path / "trust", int(time.time())
    (trust / "railway.pem").write_bytes(railway.key.public_pem())
    (trust / "railway.toml").write_text(railway.trust_toml())
    organiser = SigningKey(Algorithm.EDDSA, makers.ed_key())
    (trust / "fair.pem").write_bytes(organiser.public_pem())
    (trust / "fair.toml").write_text('formats = ["pretix"]\nkinds = ["event-ticket"]\n')
    (trust / "rosters").mkdir()
    (trust / "roster.key").write_bytes(ROSTER_KEY)
    for name, subject, blocks in (
        ("members", "4711", False),
        ("banned", "4712", True),
        ("pretix-revoked", GONE, True),
    ):
        write_roster(
            trust / "rosters" / f"{name}.roster",
            [RosterEntry(subject)],
            key=ROSTER_KEY,
            blocks=blocks,
            created=now,
        )
    (gate.path / "site.key").write_bytes(SITE_KEY)
    (gate.path / "door.toml").write_text(BASE)
    gate.write(
        gate='profile = "door.toml"\ndenial_s = 0.2\nregion = "CN-31"',
        trust='site_key_files = ["site.key"]\n',
    )
    gate.config.write_text(
        gate.config.read_text().replace("passage_timeout_s = 1.5", "passage_timeout_s = 1")
    )
    gate.run()
    gate.ready()
    return Town(gate, railway)


def test_what_a_profile_asks_is_asked(town: Town) -> None:
    gate, now = town.gate, int(time.time())
    judged = gate.judged
    hours = '{ days = ["mon","tue","wed","thu","fri","sat","sun"], open = "%s", close = "%s" }'
    shut = (
        hours % ("23:58", "23:59") if time.gmtime(now).tm_hour < 23 else hours % ("01:00", "02:00")
    )

    assert judged(SEATED) == "format_not_accepted"
    assert judged(town.code(site_key=OTHER_SITE_KEY)) == "decryption_failed"
    assert judged(town.code(regions=["CN-44"])) == "region_not_accepted"
    town.profile("minimum_age = 18")
    assert judged(town.code()) == "age_unknown"
    assert judged(town.code(birth_date="2020-01-01")) == "under_age"
    town.profile(f"hours = [{shut}]")
    assert judged(town.code()) == "closed_now"
    town.profile("level = 2")
    assert judged(town.code()) == "level_too_low"
    town.profile('directions = ["out"]')
    assert judged(town.code()) == "wrong_direction"
    town.profile('roster = "members"')
    assert judged(town.code(subject="stranger")) == "not_on_roster"
    town.profile('roster = "gone"')
    assert judged(town.code()) == "not_on_roster"
    town.profile('roster = "banned"')  # who is on a blocked list is no member
    assert judged(town.code(subject="4712")) == "not_on_roster"
    town.profile('blocked = "members"')
    assert judged(town.code(subject="4713")) == "blocked"
    town.profile('blocked = "banned"')
    assert judged(town.code(subject="4712")) == "blocked"
    town.profile('ticket = "required"')
    assert judged(town.code()) == "ticket_required"
    assert judged(town.code(ticket=town.ticket(now - 60))) == "ticket_invalid"
    town.profile('formats = ["pretix"]', "dynamic = false")
    assert judged(GONE) == "revoked"
    assert gate.openings() == 0
    assert {row["profile"] for row in gate.decisions()} == {"door"}


def test_a_challenge_must_be_answered(gate: GateOnDisk) -> None:
    nonce, shown = bytes(range(8)), gate.path / "challenge"
    gate.write(gate='challenge_file = "challenge"\ndenial_s = 0.2')
    gate.run()
    gate.ready()
    town = Town(gate, gate.issuer)
    assert gate.judged(town.code(challenge=bytes(8))) == "wrong_challenge"  # none can be read
    shown.write_text(nonce.hex() + "\n")
    assert gate.judged(town.code()) == "wrong_challenge"
    assert gate.judged(town.code(challenge=bytes(8))) == "wrong_challenge"
    assert gate.openings() == 0
    gate.show(town.code(challenge=nonce))
    until(lambda: gate.openings() == 1, "relay on")
    assert [(fault["part"], fault.get("active", True)) for fault in gate.faults()] == [
        ("challenge", True),
        ("challenge", False),
    ]


def test_who_has_what_is_asked_passes(town: Town) -> None:
    gate = town.gate
    town.profile(
        'roster = "members"', 'blocked = "banned"', 'ticket = "required"', "minimum_age = 18"
    )
    valid = int(time.time()) + DAY
    code = town.code(
        birth_date="1990-04-01", regions=["CN-31"], site_key=SITE_KEY, ticket=town.ticket(valid)
    )
    assert gate.judged(code) == "granted"
    until(lambda: len(gate.decisions()) == 2, "annulled: nobody passed")
    assert [row["decision"] for row in gate.decisions()] == ["granted", "annulled"]


def test_anti_passback_and_a_bad_profile(town: Town) -> None:
    """The times of a new profile hold at once; a profile that cannot be used changes nothing."""
    gate = town.gate

    def pass_with(code: str) -> None:
        opened = gate.openings()
        gate.show(code)
        until(lambda: gate.openings() > opened, "relay on")
        gate.board.drive(PASSAGE, level=False)
        until(lambda: gate.rows()[-1][2] == "passage", "passed")
        gate.board.drive(PASSAGE, level=True)
        gate.show()
        until(lambda: not gate.board.level(RELAY), "closed")

    town.profile('anti_passback = "on"')
    pass_with(town.code())
    assert gate.judged(town.code()) == "already_inside"
    (gate.path / "door.toml").write_text(BASE + 'anti_passback = "sometimes"\n')
    gate.processes[-1].send_signal(signal.SIGHUP)
    until(lambda: "profile refused" in gate.log(), "refused")
    town.reloads += 1
    assert gate.judged(town.code()) == "already_inside"
    faults = gate.faults()
    assert [(fault["part"], fault["code"]) for fault in faults] == [("config", "profile_refused")]
    assert "sometimes" in faults[0]["detail"]
    town.profile('anti_passback = "on"', "anti_passback_s = 0.1")
    pass_with(town.code())


def test_settings_from_afar_that_no_longer_fit_are_named(gate: GateOnDisk) -> None:
    """Nothing in the file asks for a face; who reads it must learn who does."""
    (gate.path / "state").mkdir()
    kept = gate.path / "state" / "desired.json"
    kept.write_text('{"version":3,"values":{"gate.profile":"railway"}}')
    assert gate.run().wait(40) == 2
    told = gate.log().strip()
    assert "[face]" in told
    assert f"desired by the fleet in version 3, kept in {kept}" in told
    assert told.count("\n") == 0


def test_the_log_has_the_level_that_the_fleet_set(gate: GateOnDisk) -> None:
    (gate.path / "state").mkdir()
    kept = gate.path / "state" / "desired.json"
    kept.write_text('{"version":1,"values":{"log.level":"debug"}}')
    gate.run()
    gate.ready()
    gate.show(gate.code())
    until(lambda: '"decision": "granted"' in gate.log(), "a line of the level debug")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could write there")
def test_root_does_not_run_a_gate_that_is_somebody_elses(gate: GateOnDisk) -> None:
    state = gate.path / "state"
    state.mkdir()
    os.chown(state, 65_534, -1)
    assert gate.run().wait(40) == 2
    assert "idgate run ..." in gate.log()
    assert list(state.iterdir()) == []
