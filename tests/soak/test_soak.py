"""The short form of the soak, and the soak itself judged: it must notice a broken product."""

from __future__ import annotations

import logging

import pytest

from agent.clock.guard import ClockVerdict
from agent.controller.controller import Controller
from agent.controller.memory import JournalMemory
from agent.gatekeeper.relay import Relay
from agent.journal.journal import Journal
from agent.passage.transition import Transition
from agent.passage.types import Occurrence
from hal.simulated.barrier import Behaviour
from tests.soak.soak import Account, Broken, Soak, live
from tests.soak.town import KINDS_OF_VISIT


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr("agent.controller.controller._log", logging.getLogger("silent"))
    monkeypatch.setattr("agent.controller.rows._log", logging.getLogger("silent"))
    monkeypatch.setattr(logging.getLogger("silent"), "info", lambda *_, **__: None, raising=False)
    monkeypatch.setattr(logging.getLogger("silent"), "error", lambda *_, **__: None, raising=False)


def test_an_hour_of_gate_life(tmp_path):
    soak = live(tmp_path, seed=7, hours=1.0)
    counts = soak.station.counts
    assert soak.visits > 250
    assert soak.checked > 200
    assert counts["passed"] > 100
    assert counts["annulled"] > 5
    assert counts["boots"] > 2
    assert sum(name.startswith("denied: ") for name in counts) >= 10
    assert soak.account.rows > 300


def test_the_seed_decides_the_day(tmp_path):
    days = []
    for name in "ab":
        (tmp_path / name).mkdir()
        days.append(live(tmp_path / name, seed=3, hours=0.1).trail.hexdigest())
    assert days[0] == days[1]
    (tmp_path / "c").mkdir()
    assert live(tmp_path / "c", seed=4, hours=0.1).trail.hexdigest() != days[0]


def _relay_sticks(monkeypatch):
    monkeypatch.setattr(Relay, "close", lambda _self: None)
    monkeypatch.setattr(Relay, "on", lambda self, _now: self.held or self._cause_at is not None)


def _no_mark(monkeypatch):
    monkeypatch.setattr(
        Journal, "commit_use", lambda self, _key, _until, event, *_more: self.append(event)
    )


def _uses_forgotten(monkeypatch):
    """Marks are written and never asked for."""
    real = Journal.commit_use

    def commit(self, key, until, event, *more):
        with self._write_lock, self._transaction(self._writer) as db:
            db.execute("DELETE FROM used WHERE replay_key = ?", (key,))
        return real(self, key, until, event, *more)

    monkeypatch.setattr(Journal, "commit_use", commit)
    monkeypatch.setattr(JournalMemory, "was_used", lambda *_: False)


def _any_clock(monkeypatch):
    def judge(_reading, memory, _sources, **_):
        return ClockVerdict(True, "", memory)

    monkeypatch.setattr("agent.clock.guard.judge", judge)


def _opens_before_the_disk(monkeypatch):
    real = Controller._commit

    def commit(self, effect):
        from agent.passage.events import Committed

        self._todo.append(Committed(effect.attempt))
        if self.state.attempt < 0:
            real(self, effect)

    monkeypatch.setattr(Controller, "_commit", commit)


def _end_dropped(monkeypatch):
    real = Transition.end_grant

    def end(self, outcome, reason=None, *, assumed=False):
        before = len(self.effects)
        real(self, outcome, reason, assumed=assumed)
        if outcome is Occurrence.ANNULLED:
            del self.effects[before + 1]  # the row

    monkeypatch.setattr(Transition, "end_grant", end)


def _lockout_forgotten(monkeypatch):
    monkeypatch.setattr(Journal, "locked_until", lambda *_, **__: None)
    monkeypatch.setattr(Transition, "locked_out", lambda *_: False)
    monkeypatch.setitem(KINDS_OF_VISIT, "impostor", 60)  # or a day would have to be waited for


def _everybody_is_let_in(monkeypatch):
    monkeypatch.setattr("agent.policy.decide._document", lambda _credential, _profile: None)


BREAKS = {
    _relay_sticks: "relay on without a cause",
    _no_mark: "its mark is not on the disk",
    _uses_forgotten: "opens on a use that somebody passed on|expected",
    _any_clock: "is believed",
    _opens_before_the_disk: "without a row on the disk",
    _end_dropped: r"grants without an end|ends: \[",
    _lockout_forgotten: r"after \d+ failures|expected",
    _everybody_is_let_in: "must not pass|expected",
}


@pytest.mark.parametrize("breaking", BREAKS, ids=lambda each: each.__name__[1:])
def test_the_soak_notices(breaking, tmp_path, monkeypatch):
    """Each of these products has one fault; a soak that lives through it proves nothing."""
    breaking(monkeypatch)
    with pytest.raises(Broken, match=BREAKS[breaking]):
        live(tmp_path, seed=7, hours=1.0)


def test_a_gap_a_double_and_a_missing_end_are_noticed():
    class Row:
        def __init__(self, seq, kind="decision", data=b'{"decision":"granted","passage":"p"}'):
            self.seq, self.type, self.data, self.boot_id = seq, kind, data, "b"

    account = Account()
    account.take(Row(1))
    with pytest.raises(Broken, match="seq 3"):
        account.take(Row(3))
    with pytest.raises(Broken, match=r"\['p'\] without"):
        account.close(set())
    account.close({"p"})
    end = b'{"outcome":"passed","passage":"p"}'
    account.take(Row(2, "passage", end))
    account.close(set())
    account.take(Row(3, "passage", end))
    with pytest.raises(Broken, match="twice"):
        account.close(set())


def test_a_walker_who_is_not_counted_is_noticed(tmp_path, monkeypatch):
    from hal.simulated.barrier import Barrier

    real = Barrier._begin
    monkeypatch.setattr(
        Barrier,
        "_begin",
        lambda self, _behaviour, inwards: real(self, Behaviour.STAY, inwards),
    )
    with pytest.raises(Broken, match="nobody passed"):
        Soak(tmp_path, seed=1).run(0.5)
