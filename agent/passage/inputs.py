"""What the gate's inputs and its commands do to a passage; part of `agent.passage.machine`.

Rules:
- Fire ends everything and outranks every mode; the chosen mode holds again when it clears.
- A release opens in every mode (people must be able to get out) and was carried out by the gate's
  own thread before it is told here; it is a decision of its own, or the open attempt's.
- What the passage sensor says shows that it works (`agent.passage.accounting`).
- A passage is worth what the phase says: in OPEN it is the grant's, shortly after it is tailgating
  (or, the other way, a crawl-back), otherwise it is a passage without a grant.
"""

from __future__ import annotations

from agent.passage.accounting import SENSORS
from agent.passage.events import (
    CloseGate,
    Command,
    DoorChanged,
    FireChanged,
    GateFault,
    HoldGate,
    InputFault,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ReleasePressed,
    SetMode,
    Show,
    TamperChanged,
)
from agent.passage.transition import BIOMETRIC, MODE_REASON, UNCHECKED_MODES, WORKING, Transition
from agent.passage.types import Mode, Occurrence, Phase, RecordKind, Sensing, Signal
from agent.reason import Reason

__all__ = [
    "check_door",
    "on_command",
    "on_door",
    "on_fault",
    "on_fire",
    "on_input_fault",
    "on_key",
    "on_lane",
    "on_passage",
    "on_release",
    "on_reversed",
    "on_tamper",
]


# --- fire, tamper, faults


def on_fire(transition: Transition, event: FireChanged) -> None:
    """Enter or leave the fire state."""
    if event.active == transition.state.fire:
        return
    transition.put(fire=event.active)
    what = Occurrence.FIRE if event.active else Occurrence.FIRE_CLEARED
    transition.record(RecordKind.MODE, what, Reason.FIRE, data=_mode(transition))
    transition.interrupt(Reason.FIRE)
    if event.active and transition.state.phase is Phase.GRANTED:
        transition.add(Show(Signal.FIRE))
    transition.put(door_at=transition.now)


def on_tamper(transition: Transition, event: TamperChanged) -> None:
    """Record the housing's switch; while it is open no biometric sensor is believed."""
    if event.active == transition.state.tamper:
        return
    transition.put(tamper=event.active)
    what = Occurrence.TAMPER if event.active else Occurrence.TAMPER_CLEARED
    transition.record(RecordKind.TAMPER, what, data=_mode(transition))
    if not event.active:
        return
    if transition.state.phase in BIOMETRIC:
        transition.deny(Reason.SENSOR_FAULT)
    if transition.state.effective not in UNCHECKED_MODES:
        transition.add(Show(Signal.ALARM))


def on_fault(transition: Transition, event: GateFault) -> None:
    """Record a fault of the gate's hardware, or its end."""
    data: dict[str, str | bool] = {"detail": event.detail, "active": event.active}
    transition.record(RecordKind.FAULT, Occurrence.FAULT, data=data)


def on_input_fault(transition: Transition, event: InputFault) -> None:
    """Note a fault of an input, or its end; one of the passage sensor ends giving back."""
    fault = (event.input, _fault_code(event))
    faults = transition.state.input_faults
    transition.put_faults(input_faults=faults | {fault} if event.active else faults - {fault})


def _fault_code(event: InputFault) -> str:
    """Return the row's word: `sensor_stuck`, `sensor_silent`, `stuck`, `silent` or `chatters`."""
    if event.kind == "chatter":
        return "chatters"
    return f"sensor_{event.kind}" if event.input in SENSORS else event.kind


def _mode(transition: Transition) -> dict[str, str]:
    return {"mode": transition.state.effective.value}


# --- people


def on_lane(transition: Transition, _event: LaneEntered) -> None:
    """Give a person on the way the time to cross, once the opening's own time runs out."""
    transition.note_sign(complete=False)
    transition.put(in_lane=True)
    state = transition.state
    if state.phase is Phase.OPEN and state.deadline is not None:
        wanted = max(state.deadline, transition.now + transition.rules.lane_s)
        transition.put(deadline=min(wanted, state.latest))


def on_passage(transition: Transition, event: PassageSensed) -> None:
    """Give a passage its meaning."""
    transition.note_sign(complete=True)
    transition.put(in_lane=False)
    state = transition.state
    if state.phase is not Phase.OPEN:
        _stray_passage(transition, event)
    elif event.direction in {None, state.direction}:
        transition.end_grant(Occurrence.PASSED)
    elif state.either_way and event.direction is not None:
        transition.put(direction=event.direction)
        transition.end_grant(Occurrence.PASSED)
    elif event.direction is transition.rules.unchecked:
        data = {"direction": str(event.direction)}
        transition.record(RecordKind.PASSAGE, Occurrence.UNCHECKED, data=data)
    else:
        data = {"direction": str(event.direction)}
        transition.alarm(Occurrence.WRONG_WAY, attempt=state.attempt, data=data)


def _stray_passage(transition: Transition, event: PassageSensed) -> None:
    """Judge a passage that no open grant explains."""
    state = transition.state
    data = {} if event.direction is None else {"direction": event.direction.value}
    if state.effective in UNCHECKED_MODES:
        reason = MODE_REASON[state.effective]
        transition.record(RecordKind.PASSAGE, Occurrence.UNCHECKED, reason, data=data)
    elif event.direction is not None and event.direction is transition.rules.unchecked:
        transition.record(RecordKind.PASSAGE, Occurrence.UNCHECKED, data=data)
    elif transition.now >= state.tailgate_until:
        transition.alarm(Occurrence.WITHOUT_GRANT, data=data)
    elif event.direction in {None, state.passed_direction}:
        transition.alarm(Occurrence.TAILGATING, attempt=state.passed_attempt, data=data)
    else:
        transition.alarm(Occurrence.CRAWL_BACK, attempt=state.passed_attempt, data=data)


def on_reversed(transition: Transition, _event: PassageReversed) -> None:
    """Record somebody who turned round in the lane; a grant stays open for its time."""
    transition.note_sign(complete=False)
    transition.put(in_lane=False)
    state = transition.state
    if state.effective in UNCHECKED_MODES:
        return
    attempt = state.attempt if state.phase is Phase.OPEN else 0
    transition.record(RecordKind.PASSAGE, Occurrence.CRAWL_BACK, attempt=attempt)


def on_door(transition: Transition, event: DoorChanged) -> None:
    """Follow the door or arm: forced open, opened on a grant, or closed again."""
    state = transition.state
    if event.is_open == state.door_open:
        return
    transition.put(door_open=event.is_open, door_at=transition.now, held_open=False)
    if transition.rules.sensing is Sensing.DOOR:
        transition.note_sign(complete=True)
    if not event.is_open:
        if state.held_open:
            transition.record(RecordKind.PASSAGE, Occurrence.HELD_OPEN_CLEARED)
        return
    if state.phase is Phase.OPEN:
        transition.put(door_moved=True)
        if transition.rules.sensing is Sensing.DOOR:
            transition.end_grant(Occurrence.PASSED)
        return
    explained = transition.now < state.tailgate_until or state.phase is Phase.PASSED
    if not explained and state.effective not in UNCHECKED_MODES:
        transition.alarm(Occurrence.FORCED_OPEN)


def check_door(transition: Transition) -> None:
    """Report a door that stands open for too long, once an opening."""
    state = transition.state
    quiet = state.phase is Phase.OPEN or state.effective in UNCHECKED_MODES
    if not state.door_open or state.held_open or quiet:
        return
    if transition.now - state.door_at >= transition.rules.held_open_s:
        transition.put(held_open=True)
        transition.alarm(Occurrence.HELD_OPEN)


# --- staff and fleet


def on_release(transition: Transition, _event: ReleasePressed) -> None:
    """Account for a manual release."""
    state = transition.state
    if state.effective in {Mode.FREE, Mode.FIRE}:
        transition.record(RecordKind.PASSAGE, Occurrence.RELEASED, MODE_REASON[state.effective])
        return
    if state.phase in {Phase.GRANTED, Phase.OPEN}:
        transition.record(
            RecordKind.PASSAGE, Occurrence.RELEASED, Reason.MANUAL_RELEASE, attempt=state.attempt
        )
        if state.phase is Phase.OPEN:
            transition.open()
        return
    if state.phase not in WORKING:
        transition.begin()
    transition.put(use=None, code=None)
    transition.add(transition.granted(Reason.MANUAL_RELEASE, direction=transition.rules.direction))
    transition.put(
        reason=Reason.MANUAL_RELEASE,
        direction=transition.rules.direction,
        either_way=transition.rules.two_way,
        pending=frozenset(),
    )
    transition.open()


def on_key(transition: Transition, event: KeyTurned) -> None:
    """Follow the key switch, or a fault that frees the gate for a while."""
    if event.mode is not Mode.FIRE:
        _change_mode(transition, event.mode, source="fault" if event.by_fault else "key")


def on_command(transition: Transition, event: Command) -> None:
    """Carry out a command of the fleet, or refuse it with a reason."""
    if event.until is not None and transition.now > event.until:
        transition.respond(event.transaction, Reason.STALE)
    elif transition.state.fire:
        transition.respond(event.transaction, Reason.FIRE)
    elif event.name == "open":
        _command_open(transition, event)
    elif event.name == "close":
        _command_close(transition, event)
    elif event.mode is None or event.mode is Mode.FIRE:
        transition.respond(event.transaction, Reason.MALFORMED)
    else:
        _change_mode(transition, event.mode, source="command")
        transition.respond(event.transaction)


def _command_open(transition: Transition, event: Command) -> None:
    state = transition.state
    if state.effective is Mode.FREE:
        transition.respond(event.transaction)
        return
    if state.phase in {Phase.GRANTED, Phase.OPEN}:
        transition.respond(event.transaction, Reason.GATE_BUSY)
        return
    if state.phase not in WORKING:
        transition.begin()
    transition.put(use=None, code=None)
    direction = event.direction or transition.rules.direction
    transition.commit(Reason.COMMAND, direction, transaction=event.transaction)


def _command_close(transition: Transition, event: Command) -> None:
    state = transition.state
    if state.effective is Mode.FREE:
        transition.respond(event.transaction, Reason.FREE_PASSAGE)
        return
    if state.phase in {Phase.GRANTED, Phase.OPEN}:
        transition.interrupt(Reason.COMMAND)
    else:
        transition.add(CloseGate())
    transition.respond(event.transaction)


def _change_mode(transition: Transition, mode: Mode, *, source: str) -> None:
    """Choose a mode; whatever is going on ends, since it was judged under the old one."""
    before = transition.state.mode
    if mode is before:
        if source != "fault":  # it may be a fault's doing until now
            transition.add(SetMode(mode))
        return
    transition.put(mode=mode)
    if source != "fault":
        transition.add(SetMode(mode))
    transition.record(
        RecordKind.MODE,
        Occurrence.MODE_CHANGED,
        data={"before": before.value, "mode": mode.value, "source": source},
    )
    if Mode.FREE in {mode, before}:
        transition.add(HoldGate(mode is Mode.FREE))
    if transition.state.fire:
        return
    transition.interrupt(MODE_REASON[mode])
    transition.put(door_at=transition.now)
