"""What the log says of each journaled row, for who looks with `journalctl`, not at the collector.

Rules:
- Closed words only, as they stand in the row: no subject, no issuer.
- An alarm is a warning; a decision and a change of mode are information; what a passage came to is
  told at the level `debug` where it went as it should, and costs nothing otherwise.
"""

from __future__ import annotations

import logging
from typing import Any

from agent import log
from agent.journal import events

__all__ = ["say"]

ALARMS = frozenset(
    {"tailgating", "without_grant", "forced_open", "held_open", "repeated_annulment"}
)

_log = log.get(__name__)
_level = logging.getLogger(__name__)


def say(event: events.Event) -> None:
    """Write one row's line, if its level is wanted."""
    level = _level_of(event)
    if _level.isEnabledFor(level):
        _log.log(level, events.event_type(event).value, **_words(event))


def _level_of(event: events.Event) -> int:
    match event:
        case events.Decision():
            return logging.INFO
        case events.Passage(outcome=outcome) if outcome in ALARMS:
            return logging.WARNING
        case events.Mode(mode=mode):
            return logging.WARNING if mode == "fire" else logging.INFO
        case events.Tamper(active=active):
            return logging.WARNING if active else logging.INFO
        case events.Fault(active=active, detail=detail):
            # What is over as soon as it is known, as a camera that was reopened, was one too.
            return logging.WARNING if active or detail else logging.INFO
        case _:
            return logging.DEBUG


def _words(event: events.Event) -> dict[str, Any]:
    match event:
        case events.Decision():
            words: dict[str, Any] = {
                "decision": event.decision, "reason": event.reason.value, "source": event.source,
                "profile": event.profile, "kind": event.kind, "format": event.format,
                "direction": event.direction,
            }  # fmt: skip
        case events.Passage():
            reason = None if event.reason is None else event.reason.value
            words = {"outcome": event.outcome, "reason": reason}
        case events.Tamper():
            words = {"input": event.input, "active": event.active, "detail": event.detail}
        case events.Fault():
            words = {
                "part": event.part, "code": event.code, "active": event.active,
                "detail": event.detail,
            }  # fmt: skip
        case events.Mode():
            words = {"mode": event.mode, "cause": event.cause, "previous": event.previous}
    return {name: word for name, word in words.items() if word not in (None, "")}
