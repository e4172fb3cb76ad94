"""What can be asked of a gate: each as its request, and what lasts."""

from __future__ import annotations

import pytest

from agent.gate.asks import Asks
from agent.gatekeeper.wire import Request
from agent.gatekeeper.words import DIRECTIONS, MODES, SIGNALS, Direction, Mode, Signal
from hal.errors import DeviceFault

NOW_NS = 123_456_789_012
DENIED = Request("signal", SIGNALS.index(Signal.DENIED))


class Cards:
    """An access controller that may be missing."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.cards: list[str] = []

    def present(self, subject: str) -> None:
        if self.fault:
            raise DeviceFault(self.fault)
        self.cards.append(subject)

    def close(self) -> None:
        """Nothing to let go of."""


def asks(**options: object) -> tuple[Asks, list[Request]]:
    sent: list[Request] = []
    return Asks(sent.append, lambda: NOW_NS, **options), sent


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(5, 5_000), (0.25, 250), (1.0004, 1_000), (0.0006, 1)]
)
@pytest.mark.parametrize("subject", ["", "5f0c"])
def test_an_opening_says_when_it_was_asked_for(direction, seconds, milliseconds, subject):
    gate, sent = asks()
    gate.open(direction, seconds, subject)
    number = DIRECTIONS.index(direction)
    assert sent == [Request("open", number, milliseconds, value=NOW_NS)]
    assert list(gate.lasting()) == []


def test_a_grant_goes_to_the_controller_and_a_nameless_opening_to_the_relay():
    gate, sent = asks(card_output=(cards := Cards()))
    gate.open(Direction.IN, 5, "5f0c")
    assert (sent, cards.cards) == ([], ["5f0c"])
    gate.open(Direction.IN, 5)
    assert (sent, cards.cards) == ([Request("open", 0, 5_000, value=NOW_NS)], ["5f0c"])


def test_a_controller_that_is_not_there_shows_red_and_is_told():
    told: list[str] = []
    gate, sent = asks(card_output=Cards("nobody listens"), tell=told.append)
    gate.open(Direction.IN, 5, "5f0c")
    assert (sent, told) == ([DENIED], ["nobody listens"])


def test_nobody_need_be_told():
    gate, sent = asks(card_output=Cards("nobody listens"))
    gate.open(Direction.IN, 5, "5f0c")
    assert sent == [DENIED]


@pytest.mark.parametrize(
    ("ask", "request_"),
    [
        (lambda gate: gate.hold(held=True), Request("hold", 1)),
        (lambda gate: gate.hold(held=False), Request("hold", 0)),
        (lambda gate: gate.ready(ready=True), Request("ready", 1)),
        (lambda gate: gate.ready(ready=False), Request("ready", 0)),
        *(
            (lambda gate, mode=mode: gate.choose(mode), Request("mode", MODES.index(mode)))
            for mode in Mode
        ),
        *(
            (
                lambda gate, signal=signal: gate.signal(signal),
                Request("signal", SIGNALS.index(signal)),
            )
            for signal in Signal
            if signal is not Signal.ALARM
        ),
    ],
)
def test_what_lasts_is_asked_for_and_remembered(ask, request_):
    gate, sent = asks()
    ask(gate)
    assert sent == [request_]
    assert sent[0].pack() == request_.pack()
    assert list(gate.lasting()) == [request_]


def test_what_is_over_is_asked_for_once():
    gate, sent = asks()
    gate.signal(Signal.ALARM)
    gate.close()
    assert sent == [Request("signal", SIGNALS.index(Signal.ALARM)), Request("close")]
    assert list(gate.lasting()) == []


def test_the_last_of_each_kind_lasts():
    gate, _ = asks()
    gate.hold(held=True)
    gate.signal(Signal.READY)
    gate.signal(Signal.FREE)
    gate.signal(Signal.ALARM)
    gate.ready(ready=True)
    gate.choose(Mode.FREE)
    gate.hold(held=False)
    assert list(gate.lasting()) == [
        Request("hold", 0),
        Request("signal", SIGNALS.index(Signal.FREE)),
        Request("ready", 1),
        Request("mode", MODES.index(Mode.FREE)),
    ]


def test_what_lasts_may_change_while_it_is_asked_for_again():
    gate, _ = asks()
    gate.hold(held=True)
    for _request in gate.lasting():
        gate.ready(ready=True)
