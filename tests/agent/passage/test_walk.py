"""Random walks over the passage machine, and what must hold on every one of them."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.credential.model import Modality
from agent.passage.events import (
    Annul,
    BiometricDone,
    CodesSeen,
    Command,
    Commit,
    CommitFailed,
    Committed,
    DoorChanged,
    Event,
    FireChanged,
    GateFault,
    HoldGate,
    InputFault,
    KeyTurned,
    LaneEntered,
    OpenGate,
    PassageReversed,
    PassageSensed,
    Record,
    Refused,
    ReleasePressed,
    Respond,
    Shutdown,
    TamperChanged,
    Tick,
    Verified,
    Verify,
)
from agent.passage.machine import start, step
from agent.passage.types import (
    Code,
    Direction,
    Mode,
    Occurrence,
    Phase,
    RecordKind,
    Requirement,
    Rules,
    Sensing,
    State,
    Use,
)
from agent.reason import Reason

ENDS = {Occurrence.PASSED, Occurrence.ANNULLED, Occurrence.ABORTED}
MODES = [Mode.NORMAL, Mode.NORMAL, Mode.FREE, Mode.LOCKED, Mode.MAINTENANCE]
CODES = [Code(bytes([n]), b"", n != 0) for n in range(12)]
DELAYS = (0.0, 0.01, 0.05, 0.3, 1.1, 2.5, 7.0)


class Walk:
    """One machine, a shell that answers what it was asked, and the invariants."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now = 0.0
        self.state, effects = start(Mode.NORMAL, 0.0, rules)
        assert not any(isinstance(e, OpenGate | HoldGate | Commit) for e in effects)
        self.asked: list[Verify] = []
        self.commit: Commit | None = None
        self.decisions: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()
        self.begun: set[int] = set()
        self.open_grant: int | None = None
        self.on_disk: set[int] = set()
        self.marks: dict[int, bytes] = {}
        self.passed: set[int] = set()
        self.returned: set[bytes] = set()
        self.give_backs: Counter[str] = Counter()
        self.faults: set[tuple[str, str]] = set()
        self.seen: Counter[Occurrence] = Counter()
        self.answers: Counter[str] = Counter()
        self.commands = 0
        self.steps = 0
        self.reached: set[Phase] = set()

    # --- choosing events

    def choose(self, rng: random.Random) -> Event:
        """Prefer answers to what was asked: most walks should get somewhere."""
        if self.commit is not None and rng.random() < 0.7:
            if rng.random() < 0.9:
                return Committed(self.commit.attempt)
            return CommitFailed(
                self.commit.attempt, rng.choice([Reason.REPLAYED, Reason.JOURNAL_FULL])
            )
        if self.asked and rng.random() < 0.7:
            verify = self.asked.pop(rng.randrange(len(self.asked)))
            if rng.random() < 0.2:
                return Refused(verify.attempt, verify.code.digest, Reason.EXPIRED)
            return Verified(verify.attempt, verify.code.digest, self._use(rng))
        if self.state.phase is Phase.OPEN and rng.random() < 0.5:
            return Tick()
        if self.state.pending and rng.random() < 0.5:
            modality = rng.choice(sorted(self.state.pending))
            return BiometricDone(self.state.attempt, modality, matched=True)
        if self.state.effective is not Mode.NORMAL and rng.random() < 0.3:
            return FireChanged(active=False) if self.state.fire else KeyTurned(Mode.NORMAL)
        attempt = self.state.attempt - (rng.random() < 0.1)
        return rng.choice(
            [
                lambda: CodesSeen(tuple(rng.sample(CODES, rng.choice([0, 1, 1, 1, 2])))),
                lambda: CodesSeen(tuple(rng.sample(CODES, rng.choice([0, 1, 1, 1, 2])))),
                lambda: CodesSeen(()),
                lambda: BiometricDone(attempt, rng.choice(list(Modality)), matched=True),
                lambda: BiometricDone(
                    attempt, rng.choice(list(Modality)), False, Reason.FACE_MISMATCH
                ),
                lambda: PassageSensed(rng.choice([None, *Direction])),
                lambda: PassageSensed(Direction.IN),
                Tick,
                LaneEntered,
                PassageReversed,
                lambda: DoorChanged(rng.random() < 0.5),
                lambda: TamperChanged(rng.random() < 0.3),
                lambda: FireChanged(rng.random() < 0.3),
                ReleasePressed,
                lambda: KeyTurned(rng.choice(MODES)),
                lambda: GateFault("x"),
                lambda: InputFault(
                    rng.choice(["passage", "passage_2", "door", "release"]),
                    rng.choice(["stuck", "silent", "chatter"]),
                    active=rng.random() < 0.03,
                ),
                lambda: self._command(rng),
                lambda: Shutdown() if rng.random() < 0.1 else Tick(),
            ]
        )()

    def _use(self, rng: random.Random) -> Use:
        again = sorted(self.returned - {*self.marks.values()})
        key = rng.choice([b"", rng.randbytes(4), rng.randbytes(4), *again[:1]])
        subject = f"subject {rng.randrange(20)}"
        return Use(
            subject,
            rng.choice(list(Requirement)),
            rng.choice(list(Direction)),
            key,
            given_back=key in self.returned,
            give_backs=self.give_backs[subject],
        )

    def _command(self, rng: random.Random) -> Command:
        self.commands += 1
        name = rng.choice(["open", "close", "mode"])
        return Command(name, f"t{self.commands}", None, rng.choice([None, *Mode]))

    # --- one step and its invariants

    def take(self, event: Event, after: float) -> None:
        self.now += after
        self.steps += 1
        before = self.state
        self.state, effects = step(before, event, self.now, self.rules)
        self.reached.add(self.state.phase)
        if isinstance(event, Committed) and self.commit is not None:
            assert event.attempt == self.commit.attempt
            self._granted(self.commit.attempt)
            if self.commit.use is not None and self.commit.use.replay_key:
                self.marks[event.attempt] = self.commit.use.replay_key
            self.on_disk.add(self.commit.attempt)
            self.commit = None
        elif isinstance(event, CommitFailed) and self.commit is not None:
            self.decisions[self.commit.attempt] -= 1
            self.commit = None
        for effect in effects:
            self._check(event, effect)
        self._check_state(self.state)

    def _check(self, event: Event, effect: object) -> None:
        match effect:
            case OpenGate():
                assert not self.state.fire
                assert self.open_grant == self.state.attempt
                if isinstance(event, Committed):
                    assert event.attempt in self.on_disk
                else:
                    assert isinstance(event, ReleasePressed)
            case Verify():
                self.asked.append(effect)
                self._begin(effect.attempt)
            case Commit():
                assert self.commit is None
                assert effect.record.what is Occurrence.GRANTED
                self.commit = effect
                self._decide(effect.attempt)
            case Record(kind=RecordKind.DECISION):
                self._decide(effect.attempt)
                if effect.what is Occurrence.GRANTED:
                    assert effect.reason is Reason.MANUAL_RELEASE
                    self._granted(effect.attempt)
            case Record(what=what) if what in ENDS:
                assert self.open_grant == effect.attempt
                self.ends[effect.attempt] += 1
                self.open_grant = None
                self.last_end = effect
                self.seen[effect.what] += 1
                if effect.what is Occurrence.PASSED or "assumed" in effect.data:
                    self.passed.add(effect.attempt)
            case Record(kind=RecordKind.FAULT, data={"part": part, "code": code, "active": active}):
                assert ((part, code) in self.faults) is not active, "told twice"
                (self.faults.add if active else self.faults.remove)((part, code))
            case Record(what=Occurrence.REPEATED_ANNULMENT):
                self.seen[effect.what] += 1
                assert effect.attempt in self.passed
                assert effect.use.given_back or self.give_backs[effect.use.subject]
            case Annul():
                assert self.last_end.attempt == effect.attempt
                assert self.last_end.what is not Occurrence.PASSED
                timed_out = self.last_end.what is Occurrence.ANNULLED
                assert (effect.reason is Reason.NO_PASSAGE) == timed_out
                assert timed_out or effect.reason is self.last_end.reason
                assert self.marks.pop(effect.attempt) == effect.use.replay_key
                if effect.opened:
                    self._give_back(effect.use)
            case Respond():
                self.answers[effect.transaction] += 1

    def _give_back(self, use: Use) -> None:
        assert use.replay_key not in self.returned, "a use was given back twice"
        assert self.give_backs[use.subject] < self.rules.give_backs
        assert self.rules.sensing is not Sensing.NONE, "no sensor says that nobody passed"
        sensors = {"passage", "passage_2"} if self.rules.sensing is Sensing.BEAM else {"door"}
        assert not any(part in sensors for part, _ in self.faults), "a faulty sensor was believed"
        self.returned.add(use.replay_key)
        self.give_backs[use.subject] += 1

    def _begin(self, attempt: int) -> None:
        self.begun.add(attempt)
        assert self.decisions[attempt] == 0

    def _decide(self, attempt: int) -> None:
        self.begun.add(attempt)
        self.decisions[attempt] += 1
        assert self.decisions[attempt] == 1
        assert all(self.decisions[earlier] == 1 for earlier in range(1, attempt))

    def _granted(self, attempt: int) -> None:
        assert self.open_grant is None
        self.open_grant = attempt

    def _check_state(self, state: State) -> None:
        assert (state.effective is Mode.FIRE) == state.fire
        assert state.mode is not Mode.FIRE
        assert len(state.held) <= 8
        assert len(state.foreign) <= 64
        assert len(state.failures) <= 256
        assert (state.phase is Phase.OPEN) == (self.open_grant is not None)
        assert (state.phase is Phase.GRANTED) == (self.commit is not None)
        if state.fire:
            assert state.phase in {Phase.IDLE, Phase.GRANTED}
        for name in (
            "fire", "tamper", "door_open", "either_way", "closing", "held_open", "seen", "lent",
            "in_lane", "sign", "door_moved", "silent",
        ):  # fmt: skip
            assert isinstance(getattr(state, name), bool), name
        assert bool(state.pending) == (state.phase in {Phase.FACE, Phase.FINGER, Phase.EITHER})
        if state.phase in {Phase.IDLE, Phase.PASSED, Phase.DENIED}:
            assert (state.code, state.use, state.pending) == (None, None, frozenset())
        else:
            assert state.phase is Phase.GRANTED or state.deadline is not None

    def finish(self) -> None:
        """End in good order: nothing may be left without its end."""
        self.take(Shutdown(), 0.01)
        if self.commit is not None:
            self.take(Committed(self.commit.attempt), 0.01)
        assert self.state.phase is Phase.IDLE
        assert self.open_grant is None
        assert all(self.decisions[attempt] == 1 for attempt in self.begun)
        assert self.begun == set(range(1, self.state.attempt + 1))
        assert set(self.marks) <= self.passed, "a use that nobody passed on was not annulled"
        granted = set(self.ends)
        assert all(self.ends[attempt] == 1 for attempt in granted)
        assert all(self.answers[f"t{n}"] == 1 for n in range(1, self.commands + 1))


def walk(rng: random.Random, steps: int, rules: Rules) -> Walk:
    walker = Walk(rules)
    for _ in range(steps):
        event = walker.choose(rng)
        if isinstance(event, Committed | CommitFailed) and walker.commit is None:
            event = Tick()
        walker.take(event, rng.choice(DELAYS))
    walker.finish()
    return walker


def test_forty_thousand_steps_break_no_invariant():
    total = 0
    seen: Counter[Occurrence] = Counter()
    reached: set[Phase] = set()
    for seed in range(8):
        unsensed = ["passed", "close"][seed % 2]
        rules = Rules(sensing=list(Sensing)[seed % 3], give_backs=1 + seed % 2, unsensed=unsensed)
        walker = walk(random.Random(seed), 5_000, rules)
        total += walker.steps
        seen += walker.seen
        reached |= walker.reached
        assert {*walker.ends.values()} == {1}
    assert total >= 40_000
    assert reached == set(Phase)
    assert {*seen} == ENDS | {Occurrence.REPEATED_ANNULMENT}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rng=st.randoms(use_true_random=False),
    steps=st.integers(1, 80),
    sensing=st.sampled_from(Sensing),
    timeout=st.floats(1, 60),
)
def test_any_short_walk_breaks_no_invariant(rng, steps, sensing, timeout):
    walk(rng, steps, Rules(sensing=sensing, passage_timeout_s=timeout))
