"""Machine and pins together, walked at random: what must hold on the relay at every poll."""

from __future__ import annotations

import random
from collections import Counter, deque

import pytest

from agent.credential.model import Modality
from agent.passage.events import (
    Annul,
    BiometricDone,
    CloseGate,
    CodesSeen,
    Command,
    Commit,
    Committed,
    FireChanged,
    HoldGate,
    OpenGate,
    Record,
    Refused,
    ReleasePressed,
    SetMode,
    Show,
    Tick,
    Verified,
    Verify,
)
from agent.passage.machine import start, step
from agent.passage.types import Code, Direction, Mode, Occurrence, Requirement, Rules, Use
from agent.reason import Reason
from agent.settings.model import GateConfig, GpioConfig
from hal.simulated.barrier import Behaviour

RELAY, RELAY_OUT, FIRE = 17, 16, 6
SETTINGS = GpioConfig(passage_2=26, relay_out=RELAY_OUT, door=12, key=20)
LIMIT_S = 5.0


class Station:
    """One gate with a controller around its machine, and an account of its own."""

    def __init__(self, make_rig, seed: int, relay_mode: str) -> None:
        self.rng = random.Random(seed)
        timing = GateConfig(site="s", gate="g", direction="both", relay_mode=relay_mode)
        self.rig = make_rig(SETTINGS, timing)
        self.rules = Rules.of(timing, SETTINGS)
        self.state, effects = start(Mode.NORMAL, self.rig.now, self.rules)
        self.todo: deque[tuple[float, object]] = deque()
        self.disk: set[int] = set()
        self.marks: dict[int, bytes] = {}
        self.ends: Counter[Occurrence] = Counter()
        self.steps = 0
        self.allowed_until = float("-inf")
        self.on_since: dict[int, float] = {}
        self.fire_seen_at: float | None = None
        self.codes = 0
        self.perform(effects)

    # --- the controller

    def take(self, event: object) -> None:
        self.steps += 1
        self.state, effects = step(self.state, event, self.rig.now, self.rules)
        if isinstance(event, ReleasePressed):
            self.allowed_until = self.rig.now + LIMIT_S
            self.on_since.clear()
        if isinstance(event, Committed):
            self.disk.add(event.attempt)
        self.perform(effects)

    def perform(self, effects) -> None:
        gate, rng, now = self.rig.gate, self.rng, self.rig.now
        for effect in effects:
            match effect:
                case OpenGate():
                    released = now < self.allowed_until
                    assert self.state.attempt in self.disk or released, "open before the disk"
                    self.allowed_until = now + effect.seconds
                    gate.open(effect.direction, effect.seconds, effect.subject)
                case CloseGate():
                    gate.close()
                case HoldGate():
                    gate.hold(held=effect.held)
                case Show():
                    gate.signal(effect.signal)
                case Commit():
                    if effect.use is not None:
                        self.marks[effect.attempt] = effect.use.replay_key
                    self.todo.append((now + rng.choice([0.005, 0.02]), Committed(effect.attempt)))
                case Annul():
                    del self.marks[effect.attempt]
                case Verify():
                    answer: object = Refused(effect.attempt, effect.code.digest, Reason.EXPIRED)
                    if rng.random() < 0.8:
                        answer = Verified(effect.attempt, effect.code.digest, self.use())
                    self.todo.append((now + 0.005, answer))
                case Record():
                    self.ends[effect.what] += 1
                case SetMode():
                    assert effect.mode is not Mode.FIRE

    def use(self) -> Use:
        requirement = self.rng.choice([Requirement.NONE, Requirement.NONE, *Requirement])
        return Use("subject", requirement, self.rng.choice(list(Direction)), self.rng.randbytes(8))

    # --- the world

    def act(self) -> None:
        """Something happens."""
        rng, barrier = self.rng, self.rig.barrier
        attempt = self.state.attempt
        modality = rng.choice(list(Modality))
        act = rng.choices(
            ["code", "person", "walk", "biometric", "force", "fire", "release", "key",
             "tamper", "command", "gone"],
            [8, 6, 2, 6, 1, 1, 1, 1, 1, 2, 4],
        )[0]  # fmt: skip
        match act:
            case "code":
                self.codes += 1
                name = str(self.codes).encode()
                self.take(CodesSeen((Code(name, name),)))
            case "gone":
                self.take(CodesSeen(()))
            case "person":
                barrier.expect(rng.choice(list(Behaviour)), inwards=rng.random() < 0.7)
            case "walk":
                if not barrier.busy:
                    barrier.force(inwards=rng.random() < 0.5)
            case "force":
                barrier.door(is_open=rng.random() < 0.5)
            case "fire":
                barrier.fire(active=rng.random() < 0.5)
            case "release":
                barrier.press_release(0.1)
            case "key":
                barrier.key(turned=rng.random() < 0.3)
            case "tamper":
                barrier.tamper(active=rng.random() < 0.3)
            case "biometric":
                self.take(
                    BiometricDone(
                        attempt, modality, matched=rng.random() < 0.7, reason=Reason.FINGER_QUALITY
                    )
                )
            case "command":
                mode = rng.choice([Mode.NORMAL, Mode.NORMAL, Mode.FREE, Mode.LOCKED])
                self.take(Command(rng.choice(["open", "close", "mode"]), "t", None, mode))

    def poll(self) -> None:
        rig = self.rig
        fire_before = rig.board.level(FIRE)
        rig.poll()
        for event in self.heard():
            if isinstance(event, FireChanged) and event.active:
                self.allowed_until = float("-inf")
            self.take(event)
        while self.todo and self.todo[0][0] <= rig.now:
            self.take(self.todo.popleft()[1])
        self.take(Tick())
        self.check(fire_before=fire_before)

    def heard(self) -> list[object]:
        events, self.rig.events[:] = list(self.rig.events), []
        return events

    # --- what must hold

    def check(self, *, fire_before: bool) -> None:
        rig, now = self.rig, self.rig.now
        if fire_before and rig.board.level(FIRE):
            assert rig.on(RELAY), "fire did not win within one poll"
            assert rig.on(RELAY_OUT)
        for pin in (RELAY, RELAY_OUT):
            if not rig.on(pin):
                self.on_since.pop(pin, None)
                continue
            held = rig.keeper.active("fire") or self.state.mode is Mode.FREE or self.last_mode_free
            if held:
                self.on_since[pin] = now
                continue
            since = self.on_since.setdefault(pin, now)
            assert now - since <= LIMIT_S + 0.011, "the relay outlasted its limit"
            assert now <= self.allowed_until + 0.011, "on without grant, release or fire"
        self.last_mode_free = self.state.mode is Mode.FREE

    last_mode_free = False


@pytest.mark.parametrize(("seed", "relay_mode"), [(1, "level"), (2, "pulse"), (3, "level")])
def test_twenty_thousand_steps_on_simulated_pins(make_rig, seed, relay_mode):
    station = Station(make_rig, seed, relay_mode)
    while station.steps < 20_000:
        if station.rng.random() < 0.1:
            station.act()
        station.poll()
    station.rig.barrier.fire(active=False)
    station.rig.barrier.key(turned=False)
    station.take(Command("mode", "t", mode=Mode.NORMAL))
    for _ in range(3_000):
        station.poll()
    assert station.marks.keys() <= station.disk
    assert not station.rig.on(RELAY)
    assert not station.rig.on(RELAY_OUT)
    assert station.ends[Occurrence.PASSED] > 0
    assert station.ends[Occurrence.ANNULLED] + station.ends[Occurrence.ABORTED] > 0
    assert len(station.marks) <= station.ends[Occurrence.PASSED]


def test_a_grant_reaches_the_pin_within_one_poll_of_the_disk(make_rig):
    station = Station(make_rig, 7, "level")
    rig = station.rig
    station.take(CodesSeen((Code(b"a", b"a"),)))
    station.todo.clear()
    use = Use("s", Requirement.NONE, Direction.IN, b"k")
    station.take(Verified(1, b"a", use))
    assert not rig.on(RELAY)
    station.todo.clear()
    station.take(Committed(1))
    committed_ns = round(rig.now * 1e9)
    rig.poll()
    edge = rig.edges(RELAY)[-1]
    assert edge.level
    assert edge.at_ns - committed_ns <= 5_000_001
