"""What the gate's inputs and its commands do to a passage; part of `agent.passage`.

Rules:
- Fire ends everything and outranks every mode; the chosen mode holds again when it clears.
- A release opens in every mode (people must be able to get out) and was carried out by the gate's
  own thread before it is told here; it is a decision of its own, or the open attempt's.
- A passage is worth what the phase says: in OPEN it is the grant's, shortly after it is tailgating
  (or, the other way, a crawl-back), otherwise it is a passage without a grant.
"""

from __future__ import annotations

from agent.passage_events import (
    CloseGate,
    Command,
    DoorChanged,
    FireChanged,
    GateFault,
    HoldGate,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ReleasePressed,
    SetMode,
    Show,
    TamperChanged,
)
from agent.passage_turn import BIOMETRIC, MODE_REASON, UNCHECKED_MODES, WORKING, Turn
from agent.passage_types import Mode, Occurrence, Phase, RecordKind, Sensing, Signal
from agent.reason import Reason

__all__ = [
    "check_door",
    "on_command",
    "on_door",
    "on_fault",
    "on_fire",
    "on_key",
    "on_lane",
    "on_passage",
    "on_release",
    "on_reversed",
    "on_tamper",
]


# --- fire, tamper, faults


def on_fire(turn: Turn, event: FireChanged) -> None:
    """Enter or leave the fire state."""
    if event.active == turn.state.fire:
        return
    turn.put(fire=event.active)
    what = Occurrence.FIRE if event.active else Occurrence.FIRE_CLEARED
    turn.record(RecordKind.MODE, what, Reason.FIRE, data=_mode(turn))
    turn.interrupt(Reason.FIRE)
    if event.active and turn.state.phase is Phase.GRANTED:
        turn.add(Show(Signal.FIRE))
    turn.put(door_at=turn.now)


def on_tamper(turn: Turn, event: TamperChanged) -> None:
    """Record the housing's switch; while it is open no biometric sensor is believed."""
    if event.active == turn.state.tamper:
        return
    turn.put(tamper=event.active)
    what = Occurrence.TAMPER if event.active else Occurrence.TAMPER_CLEARED
    turn.record(RecordKind.TAMPER, what, data=_mode(turn))
    if not event.active:
        return
    if turn.state.phase in BIOMETRIC:
        turn.deny(Reason.SENSOR_FAULT)
    if turn.state.effective not in UNCHECKED_MODES:
        turn.add(Show(Signal.ALARM))


def on_fault(turn: Turn, event: GateFault) -> None:
    """Record a fault of the gate's hardware, or its end."""
    data: dict[str, str | bool] = {"detail": event.detail, "active": event.active}
    turn.record(RecordKind.FAULT, Occurrence.FAULT, data=data)


def _mode(turn: Turn) -> dict[str, str]:
    return {"mode": turn.state.effective.value}


# --- people


def on_lane(turn: Turn, _event: LaneEntered) -> None:
    """Give a person on the way the time to cross, once the opening's own time runs out."""
    state = turn.state
    if state.phase is Phase.OPEN and state.deadline is not None:
        wanted = max(state.deadline, turn.now + turn.rules.lane_s)
        turn.put(deadline=min(wanted, state.latest))


def on_passage(turn: Turn, event: PassageSensed) -> None:
    """Give a passage its meaning."""
    state = turn.state
    if state.phase is not Phase.OPEN:
        _stray_passage(turn, event)
    elif event.direction in {None, state.direction}:
        turn.end_grant(Occurrence.PASSED)
    elif state.either_way and event.direction is not None:
        turn.put(direction=event.direction)
        turn.end_grant(Occurrence.PASSED)
    elif event.direction is turn.rules.unchecked:
        data = {"direction": str(event.direction)}
        turn.record(RecordKind.PASSAGE, Occurrence.UNCHECKED, data=data)
    else:
        data = {"direction": str(event.direction)}
        turn.alarm(Occurrence.WRONG_WAY, attempt=state.attempt, data=data)


def _stray_passage(turn: Turn, event: PassageSensed) -> None:
    """Judge a passage that no open grant explains."""
    state = turn.state
    data = {} if event.direction is None else {"direction": event.direction.value}
    if state.effective in UNCHECKED_MODES:
        reason = MODE_REASON[state.effective]
        turn.record(RecordKind.PASSAGE, Occurrence.UNCHECKED, reason, data=data)
    elif event.direction is not None and event.direction is turn.rules.unchecked:
        turn.record(RecordKind.PASSAGE, Occurrence.UNCHECKED, data=data)
    elif turn.now >= state.tailgate_until:
        turn.alarm(Occurrence.WITHOUT_GRANT, data=data)
    elif event.direction in {None, state.passed_direction}:
        turn.alarm(Occurrence.TAILGATING, attempt=state.passed_attempt, data=data)
    else:
        turn.alarm(Occurrence.CRAWL_BACK, attempt=state.passed_attempt, data=data)


def on_reversed(turn: Turn, _event: PassageReversed) -> None:
    """Record somebody who turned round in the lane; a grant stays open for its time."""
    state = turn.state
    if state.effective in UNCHECKED_MODES:
        return
    attempt = state.attempt if state.phase is Phase.OPEN else 0
    turn.record(RecordKind.PASSAGE, Occurrence.CRAWL_BACK, attempt=attempt)


def on_door(turn: Turn, event: DoorChanged) -> None:
    """Follow the door or arm: forced open, opened on a grant, or closed again."""
    state = turn.state
    if event.is_open == state.door_open:
        return
    turn.put(door_open=event.is_open, door_at=turn.now, held_open=False)
    if not event.is_open:
        if state.held_open:
            turn.record(RecordKind.PASSAGE, Occurrence.HELD_OPEN_CLEARED)
        return
    if state.phase is Phase.OPEN:
        if turn.rules.sensing is Sensing.DOOR:
            turn.end_grant(Occurrence.PASSED)
        return
    explained = turn.now < state.tailgate_until or state.phase is Phase.PASSED
    if not explained and state.effective not in UNCHECKED_MODES:
        turn.alarm(Occurrence.FORCED_OPEN)


def check_door(turn: Turn) -> None:
    """Report a door that stands open for too long, once an opening."""
    state = turn.state
    quiet = state.phase is Phase.OPEN or state.effective in UNCHECKED_MODES
    if not state.door_open or state.held_open or quiet:
        return
    if turn.now - state.door_at >= turn.rules.held_open_s:
        turn.put(held_open=True)
        turn.alarm(Occurrence.HELD_OPEN)


# --- staff and fleet


def on_release(turn: Turn, _event: ReleasePressed) -> None:
    """Account for a manual release."""
    state = turn.state
    if state.fire or state.effective is Mode.FREE or state.phase is Phase.GRANTED:
        turn.record(RecordKind.PASSAGE, Occurrence.RELEASED, MODE_REASON[state.effective])
        return
    if state.phase is Phase.OPEN:
        turn.record(
            RecordKind.PASSAGE, Occurrence.RELEASED, Reason.MANUAL_RELEASE, attempt=state.attempt
        )
        turn.open()
        return
    if state.phase not in WORKING:
        turn.begin()
    turn.put(use=None, code=None)
    turn.add(turn.granted(Reason.MANUAL_RELEASE, direction=turn.rules.direction))
    turn.put(
        reason=Reason.MANUAL_RELEASE,
        direction=turn.rules.direction,
        either_way=turn.rules.two_way,
        pending=frozenset(),
    )
    turn.open()


def on_key(turn: Turn, event: KeyTurned) -> None:
    """Follow the key switch, or a fault that frees the gate for a while."""
    if event.mode is not Mode.FIRE:
        _change_mode(turn, event.mode, source="fault" if event.by_fault else "key")


def on_command(turn: Turn, event: Command) -> None:
    """Carry out a command of the fleet, or refuse it with a reason."""
    if event.until is not None and turn.now > event.until:
        turn.respond(event.transaction, Reason.STALE)
    elif turn.state.fire:
        turn.respond(event.transaction, Reason.FIRE)
    elif event.name == "open":
        _command_open(turn, event)
    elif event.name == "close":
        _command_close(turn, event)
    elif event.mode is None or event.mode is Mode.FIRE:
        turn.respond(event.transaction, Reason.MALFORMED)
    else:
        _change_mode(turn, event.mode, source="command")
        turn.respond(event.transaction)


def _command_open(turn: Turn, event: Command) -> None:
    state = turn.state
    if state.effective is Mode.FREE:
        turn.respond(event.transaction)
        return
    if state.phase in {Phase.GRANTED, Phase.OPEN}:
        turn.respond(event.transaction, Reason.GATE_BUSY)
        return
    if state.phase not in WORKING:
        turn.begin()
    turn.put(use=None, code=None)
    direction = event.direction or turn.rules.direction
    turn.commit(Reason.COMMAND, direction, transaction=event.transaction)


def _command_close(turn: Turn, event: Command) -> None:
    state = turn.state
    if state.effective is Mode.FREE:
        turn.respond(event.transaction, Reason.FREE_PASSAGE)
        return
    if state.phase in {Phase.GRANTED, Phase.OPEN}:
        turn.interrupt(Reason.COMMAND)
    else:
        turn.add(CloseGate())
    turn.respond(event.transaction)


def _change_mode(turn: Turn, mode: Mode, *, source: str) -> None:
    """Choose a mode; whatever is going on ends, since it was judged under the old one."""
    before = turn.state.mode
    if mode is before:
        if source != "fault":  # it may be a fault's doing until now
            turn.add(SetMode(mode))
        return
    turn.put(mode=mode)
    if source != "fault":
        turn.add(SetMode(mode))
    turn.record(
        RecordKind.MODE,
        Occurrence.MODE_CHANGED,
        data={"before": before.value, "mode": mode.value, "source": source},
    )
    if Mode.FREE in {mode, before}:
        turn.add(HoldGate(mode is Mode.FREE))
    if turn.state.fire:
        return
    turn.interrupt(MODE_REASON[mode])
    turn.put(door_at=turn.now)
