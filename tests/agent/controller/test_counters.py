"""What is counted of the rows: who was let in by what they proved, and why others were not."""

from __future__ import annotations

from agent.controller.counters import Counters
from agent.controller.ports import JournaledEvent
from agent.journal import events
from agent.reason import Reason


def test_grants_that_were_proven_stand_apart_from_those_by_hand() -> None:
    counters = Counters()
    for word, reason in (
        ("granted", Reason.GRANTED), ("granted", Reason.GRANTED),
        ("granted", Reason.MANUAL_RELEASE), ("granted", Reason.COMMAND),
        ("denied", Reason.EXPIRED), ("denied", Reason.EXPIRED), ("denied", Reason.STALE),
        ("annulled", Reason.NO_PASSAGE),
    ):  # fmt: skip
        event = events.Decision(passage="0" * 32, decision=word, reason=reason)  # type: ignore[arg-type]
        counters.observe(JournaledEvent(1, event, None))
    found = counters.snapshot()
    assert (found.granted, found.proven, found.denied, found.annulled) == (4, 2, 3, 1)
    assert found.reasons == {"expired": 2, "stale": 1}
    assert (found.last_decision, found.last_reason) == ("denied", "stale")
