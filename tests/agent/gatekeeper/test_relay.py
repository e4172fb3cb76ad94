"""One relay over time: what was asked when, and when it is on."""

from __future__ import annotations

import pytest

from agent.gatekeeper.relay import Relay

LEVEL = {"limit_s": 5.0, "pulse_s": None}
PULSE = {"limit_s": 5.0, "pulse_s": 0.25}
INF = float("inf")


def ask(seconds: float, *, renew: bool = False):
    return lambda relay, now: relay.open(seconds, now, renew=renew)


PRESS = ask(5.0, renew=True)


def close(relay: Relay, _now: float) -> None:
    relay.close()


def orphan(relay: Relay, _now: float) -> None:
    relay.orphan()


def hold(relay: Relay, _now: float) -> None:
    relay.held = True


def let_go(relay: Relay, _now: float) -> None:
    relay.held = False


TABLE = [
    ("nothing asked", LEVEL, [], []),
    ("as long as was asked", LEVEL, [(0, ask(2))], [(0, 2)]),
    ("not longer than the limit", LEVEL, [(0, ask(INF))], [(0, 5)]),
    ("asked again, as long as the later one", LEVEL, [(0, ask(2)), (1, ask(3))], [(0, 4)]),
    ("asked again for less, not shorter", LEVEL, [(0, ask(4)), (1, ask(1))], [(0, 4)]),
    ("asked again, not past the limit", LEVEL, [(0, ask(2)), (1, ask(9))], [(0, 5)]),
    ("asked as it runs out, a rest first", LEVEL, [(0, ask(2)), (2, ask(2))], [(0, 2)]),
    ("asked within the rest", LEVEL, [(0, ask(2)), (2.75, ask(2))], [(0, 2)]),
    ("asked as the rest is over", LEVEL, [(0, ask(2)), (3, ask(2))], [(0, 2), (3, 5)]),
    ("refused in the rest, which is not longer for it", LEVEL,
     [(0, ask(2)), (2.5, ask(2)), (3, ask(2))], [(0, 2), (3, 5)]),
    ("a whole limit again after the rest", LEVEL, [(0, ask(5)), (6, ask(9))], [(0, 5), (6, 11)]),
    ("closed", LEVEL, [(0, ask(5)), (1, close)], [(0, 1)]),
    ("closed, and no rest", LEVEL, [(0, ask(5)), (1, close), (1.25, ask(5))], [(0, 1), (1.25, 6.25)]),
    ("closed after it ran out, and no rest", LEVEL,
     [(0, ask(2)), (2.25, close), (2.5, ask(1))], [(0, 2), (2.5, 3.5)]),
    ("a press begins the limit anew", LEVEL, [(0, ask(5)), (3, PRESS)], [(0, 8)]),
    ("a press needs no rest", LEVEL, [(0, ask(2)), (2.25, PRESS)], [(0, 2), (2.25, 7.25)]),
    ("a press for less ends what ran before", LEVEL, [(0, ask(5)), (1, ask(1, renew=True))], [(0, 2)]),
    ("a pulse, whatever was asked", PULSE, [(0, ask(5))], [(0, 0.25)]),
    ("a pulse, however little was asked", PULSE, [(0, ask(0.125))], [(0, 0.25)]),
    ("a pulse is not prolonged", PULSE, [(0, ask(5)), (0.125, ask(5))], [(0, 0.25)]),
    ("a pulse by a press is", PULSE, [(0, ask(5)), (0.125, PRESS)], [(0, 0.375)]),
    ("a pulse rests too", PULSE, [(0, ask(5)), (1, ask(5)), (1.25, ask(5))], [(0, 0.25), (1.25, 1.5)]),
    ("a pulse keeps to the limit", {"limit_s": 5.0, "pulse_s": 10.0}, [(0, ask(9))], [(0, 5)]),
    ("orphaned", LEVEL, [(0, ask(5)), (1, orphan)], [(0, 1)]),
    ("orphaned, and no rest", LEVEL, [(0, ask(5)), (1, orphan), (1.25, ask(5))],
     [(0, 1), (1.25, 6.25)]),
    ("a press outlasts the decider", LEVEL, [(0, PRESS), (1, orphan)], [(0, 5)]),
    ("a press outlasts what was asked before it", LEVEL, [(0, ask(5)), (1, PRESS), (2, orphan)],
     [(0, 6)]),
    ("what was asked after a press does not prolong it", LEVEL,
     [(0, ask(1, renew=True)), (0.5, ask(3)), (0.75, orphan)], [(0, 1)]),
    ("a press that is over is no opening again", LEVEL,
     [(0, ask(1, renew=True)), (4, ask(3)), (5, orphan)], [(0, 1), (4, 5)]),
    ("a press that was closed is over", LEVEL,
     [(0, PRESS), (1, close), (2, ask(3)), (3, orphan)], [(0, 1), (2, 3)]),
    ("held, and not closed by the decider's end", LEVEL, [(0, hold), (1, orphan), (9, let_go)],
     [(0, 9)]),
    ("held", LEVEL, [(1, hold), (9, let_go)], [(1, 9)]),
    ("held in pulse mode", PULSE, [(0, ask(5)), (0, hold), (9, let_go)], [(0, 9)]),
    ("held, and not closed by closing", LEVEL, [(0, hold), (1, close), (9, let_go)], [(0, 9)]),
    ("an opening outlasts a hold", LEVEL, [(0, ask(3)), (0, hold), (1, let_go)], [(0, 3)]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "limits", "acts", "on"), TABLE, ids=[row[0] for row in TABLE])
def test_relay(what, limits, acts, on):
    relay, spans, was = Relay(**limits), [], False
    for now in (eighth / 8 for eighth in range(8 * 15)):
        for when, act in acts:
            if when == now:
                act(relay, now)
        if relay.on(now) and not was:
            spans.append((now, None))
        elif was and not relay.on(now):
            spans[-1] = (spans[-1][0], now)
        was = relay.on(now)
    assert spans == on


def test_a_press_like_any_request_is_no_new_cause_unless_it_says_so():
    relay = Relay(**LEVEL)
    relay.open(5, 0.0)
    relay.open(5, 3.0)
    assert (relay.on(4.9), relay.on(5.0)) == (True, False)
