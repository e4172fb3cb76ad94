"""The script of the day: who comes, what they show, and what each gate must make of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.demo.cast import Cast
from agent.demo.people import Person, tampered
from agent.demo.stage import Stage
from agent.journal import events
from agent.reason import Reason
from hal.simulated.barrier import Behaviour
from hal.simulated.scene import Phone

__all__ = ["LIBRARY", "RAILWAY", "Act", "Played", "acts", "fire_drill", "play"]

LIBRARY, RAILWAY = "library", "railway"
DECISION_S = 12.0
PASSAGE_S = 8.0
MODULE_PX = 4.0


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happens at one gate.

    Attributes:
        gate: where.
        title: what is shown, for the table.
        reason: the decision's reason that must come.
        code: makes the code that is held up; None for none.
        face: who stands there, by name.
        spoof: the face is held up as a picture.
        finger: whose finger comes to the glass, by name.
        walk: what the person does when the arm unlocks.
        outcome: the passage's outcome that must follow a grant.
        before: what happens first (a cable pulled, a fire).
    """

    gate: str
    title: str
    reason: Reason
    code: Callable[[], str] | None = None
    face: str = ""
    spoof: bool = False
    finger: str = ""
    walk: Behaviour = Behaviour.PASS
    outcome: str = "passed"
    before: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """What an act came to."""

    act: Act
    decision: events.Decision
    stages_ms: dict[str, float] = field(default_factory=dict)
    outcome: str = ""
    corners: tuple[tuple[int, int], ...] = ()
    started_ns: int = 0
    ended_ns: int = 0

    @property
    def as_expected(self) -> bool:
        """Whether decision and passage are the script's."""
        if self.decision.reason is not self.act.reason:
            return False
        granted = self.decision.decision == "granted"
        return not granted or self.outcome == self.act.outcome


def acts(cast: Cast) -> list[Act]:
    """Return the day, in order; codes are made at the moment they are shown."""
    people = cast.people
    eileen = people.traveller("Eileen", face="eileen")
    grace = people.traveller("Grace", face="grace")
    ruth = people.traveller("Ruth", face="", reference="ruth-finger")
    reader, second = people.reader("Lin"), people.reader("Omar")
    kept: dict[str, str] = {}

    def fresh(person: Person, keep: str = "") -> Callable[[], str]:
        def make() -> str:
            code = person.code(time.time())
            if keep:
                kept[keep] = code
            return code

        return make

    lapsed, driver, outsider = people.lapsed("Eve"), people.driver("Max"), people.outsider("Noa")
    return [
        Act(LIBRARY, "library card, fresh", Reason.GRANTED, fresh(reader, "first")),
        Act(RAILWAY, "online ID, her face", Reason.GRANTED, fresh(eileen), face="eileen"),
        Act(LIBRARY, "screenshot of that code", Reason.REPLAYED, lambda: kept["first"]),
        Act(RAILWAY, "online ID, other face", Reason.FACE_MISMATCH, fresh(eileen), face="grace"),
        Act(LIBRARY, "two minutes old", Reason.STALE, lambda: reader.code(time.time() - 120)),
        Act(RAILWAY, "online ID, nobody there", Reason.FACE_NOT_FOUND, fresh(grace)),
        Act(LIBRARY, "expired card", Reason.EXPIRED, fresh(lapsed)),
        Act(
            RAILWAY, "online ID, a photo held up", Reason.SPOOF_SUSPECTED, fresh(grace),
            face="grace", spoof=True,
        ),
        Act(
            LIBRARY, "one character changed", Reason.BAD_HOLDER_SIGNATURE,
            lambda: tampered(reader.code(time.time())),
        ),
        Act(RAILWAY, "static, basic level", Reason.LEVEL_TOO_LOW, people.basic("Bo").printed),
        Act(LIBRARY, "unknown issuer", Reason.UNKNOWN_ISSUER, fresh(outsider)),
        Act(RAILWAY, "online ID, her finger", Reason.GRANTED, fresh(ruth), finger="ruth"),
        Act(LIBRARY, "driving licence", Reason.KIND_NOT_ACCEPTED, fresh(driver)),
        Act(
            RAILWAY, "online ID, other finger", Reason.FINGER_MISMATCH, fresh(ruth), finger="max"
        ),
        Act(
            LIBRARY, "card, does not walk", Reason.GRANTED, fresh(second, "unused"),
            walk=Behaviour.STAY, outcome="annulled",
        ),
        Act(LIBRARY, "the same code again", Reason.GRANTED, lambda: kept["unused"]),
        Act(
            LIBRARY, "network cut; fresh card", Reason.GRANTED, fresh(reader), before=cast.pull
        ),
        Act(RAILWAY, "still cut; her face", Reason.GRANTED, fresh(grace), face="grace"),
        Act(
            LIBRARY, "network back; printed card", Reason.GRANTED, second.printed,
            before=cast.plug,
        ),
    ]  # fmt: skip


def put_in_view(act: Act, stage: Stage, cast: Cast) -> None:
    """Put what an act shows before the camera."""
    figures = []
    if act.face:
        figures.append(cast.figures[f"{act.face}-photo" if act.spoof else act.face])
    things = []
    if act.code is not None:
        things.append(Phone(act.code(), x=0.27, y=0.5).at_module_px(MODULE_PX))
    stage.touch(act.finger)
    stage.show(things, figures)


def play(act: Act, stage: Stage, cast: Cast) -> Played:
    """Play one act and return what the gate made of it.

    Raises:
        StageError: the gate did nothing in time.
    """
    if act.before is not None:
        act.before()
    started = time.monotonic_ns()
    if act.reason is Reason.GRANTED:
        stage.expect(act.walk)
    put_in_view(act, stage, cast)
    decision, trace = stage.decision(DECISION_S)
    outcome = ""
    if decision.decision == "granted":
        outcome = stage.outcome(PASSAGE_S)
    sighting = None if trace is None else trace.sighting
    return Played(
        act,
        decision,
        stages_ms={} if trace is None else dict(trace.stages_ms),
        outcome=outcome,
        corners=() if sighting is None else sighting.corners,
        started_ns=started,
        ended_ns=time.monotonic_ns(),
    )


def fire_drill(stage: Stage, cast: Cast) -> list[str]:
    """Raise a fire alarm and let it pass; return what was seen, a line each.

    Raises:
        StageError: the gate did not open at once, judged somebody, or did not serve again.
    """
    person = cast.people.traveller("Eileen", face="eileen")
    began = time.monotonic_ns()
    stage.barrier.fire(active=True)
    opened_ms = stage.until_relay(on=True, since_ns=began)
    notes = [f"fire alarm: relay on after {opened_ms:.1f} ms, everybody may leave"]
    act = Act(RAILWAY, "during the fire", Reason.FIRE, lambda: person.code(time.time()))
    put_in_view(act, stage, cast)
    stage.nothing_decided(1.0)
    notes.append("a code held up during the fire: nobody is checked")
    stage.show()
    stage.barrier.fire(active=False)
    closed_ms = stage.until_relay(on=False, since_ns=time.monotonic_ns())
    notes.append(f"alarm over: relay off after {closed_ms:.0f} ms, the gate checks again")
    return notes
