"""Codes that are no credentials: a poster is answered once, and keeps nobody from the gate."""

from __future__ import annotations

import pytest

from agent.passage.events import CodesSeen, ProfileChanged, Record, Refused, Show, Verify
from agent.passage.transition import MAX_FOREIGN
from agent.passage.types import Code, Mode, Occurrence, Phase, Rules, Signal
from agent.reason import Reason
from tests.agent.passage.conftest import MOMENT, Machine

POSTER, OTHER = (Code(name, name, known=False) for name in (b"poster", b"other"))
TICKET = Code(b"a", b"a")
NEVER = (Reason.UNKNOWN_FORMAT, Reason.FORMAT_NOT_ACCEPTED, Reason.MALFORMED)


def see(machine: Machine, *codes: Code, reason: Reason = Reason.UNKNOWN_FORMAT) -> list[Reason]:
    """Show codes until the attempt, if there is one, is denied; return the denials' reasons."""
    before = len(machine.log)
    for effect in machine.send(CodesSeen(codes)):
        if isinstance(effect, Verify):
            machine.send(Refused(effect.attempt, effect.code.digest, reason))
    machine.wait(2.0)
    denied = [each for each in machine.log[before:] if isinstance(each, Record)]
    beeps = machine.log[before:].count(Show(Signal.DENIED))
    assert beeps == len(denied)
    assert all(each.what is Occurrence.DENIED for each in denied)
    return [each.reason for each in denied]


def test_a_poster_before_which_people_walk_is_denied_once(machine):
    told = []
    for _ in range(300):  # twenty minutes
        told += see(machine, POSTER)
        told += see(machine)
    assert told == [Reason.UNKNOWN_FORMAT]
    assert machine.state.attempt == 1


@pytest.mark.parametrize(("away", "again"), [(600 - MOMENT, False), (600, True)])
def test_it_is_told_again_when_it_was_away_for_ten_minutes(machine, away, again):
    see(machine, POSTER)
    machine.send(CodesSeen())
    machine.send(CodesSeen((POSTER,)), away)
    assert bool(machine.of(Verify)[1:]) is again


def test_the_time_begins_anew_each_time_it_is_seen(machine):
    for _ in range(5):
        see(machine, POSTER)
        machine.send(CodesSeen(), 300)
        machine.send(CodesSeen((POSTER,)), 599)
        machine.send(CodesSeen())
    assert len(machine.of(Verify)) == 1


def test_one_is_forgotten_and_the_next_is_not(machine):
    see(machine, POSTER)
    see(machine)
    machine.send(CodesSeen(), 300)
    see(machine, OTHER)
    see(machine)
    machine.send(CodesSeen(), 300)
    assert [digest for digest, _ in machine.state.foreign] == [OTHER.digest]


def test_each_of_two_posters_costs_one_denial_at_most(machine):
    assert see(machine, POSTER, OTHER) == [Reason.UNKNOWN_FORMAT]
    see(machine)
    for codes in ((POSTER,), (OTHER,), (OTHER, POSTER)):
        assert see(machine, *codes) == []
    third = Code(b"third", b"third", known=False)
    assert see(machine, POSTER, third) == [Reason.UNKNOWN_FORMAT]


def test_a_poster_is_no_persons_second_code(machine):
    see(machine, POSTER)
    machine.send(CodesSeen((POSTER, TICKET)))
    assert [effect.code for effect in machine.of(Verify)] == [POSTER, TICKET]
    machine.verified()
    assert machine.state.phase is Phase.GRANTED


def test_beside_a_good_code_it_is_not_answered_then_nor_later(machine):
    machine.send(CodesSeen((POSTER, TICKET)))
    assert [effect.code for effect in machine.of(Verify)] == [TICKET]
    machine.send(Refused(1, b"a", Reason.EXPIRED))
    machine.wait(3.0)
    assert see(machine, POSTER) == []


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.IDLE])
def test_beside_the_code_in_hand_it_is_not_answered_afterwards(make_machine, phase):
    machine = make_machine()
    machine.reach(phase)
    asked = len(machine.of(Verify))
    machine.send(CodesSeen((TICKET, POSTER)))
    assert machine.state.phase is phase
    assert POSTER.digest in dict(machine.state.foreign)
    assert len(machine.of(Verify)) == asked


@pytest.mark.parametrize("phase", [Phase.READ, Phase.FACE, Phase.OPEN, Phase.DENIED])
def test_alone_while_the_gate_is_busy_it_is_answered_when_it_has_time(make_machine, phase):
    """It may be what the next person holds up."""
    machine = make_machine()
    machine.reach(phase)
    machine.send(CodesSeen((POSTER,)))
    assert machine.state.foreign == ()
    assert machine.state.phase is phase
    machine.wait(20.0)
    assert machine.state.phase is Phase.IDLE
    assert see(machine, POSTER) == [Reason.UNKNOWN_FORMAT]


@pytest.mark.parametrize("reason", Reason)
def test_a_code_of_a_format_is_a_poster_where_nothing_could_make_it_good(make_machine, reason):
    """Everything else may be good a moment later: the clock, the trust, the person."""
    machine = make_machine()
    if reason is Reason.GRANTED:
        return
    assert see(machine, TICKET, reason=reason) == [reason]
    see(machine)
    assert (see(machine, TICKET, reason=reason) == []) is (reason in NEVER)


def test_the_wallets_next_code_is_a_code_of_its_own(machine):
    see(machine, TICKET, reason=Reason.MALFORMED)
    assert see(machine, Code(b"b", b"b"), reason=Reason.EXPIRED) == [Reason.EXPIRED]


def test_another_profile_lets_what_was_no_credential_be_tried_again(machine):
    see(machine, TICKET, reason=Reason.FORMAT_NOT_ACCEPTED)
    see(machine, POSTER)
    see(machine)
    machine.send(ProfileChanged())
    assert machine.state.foreign == ()
    assert see(machine, TICKET, reason=Reason.EXPIRED) == [Reason.EXPIRED]


def test_a_screen_with_ever_new_codes_fills_neither_memory_nor_journal(machine):
    told = []
    for number in range(10 * MAX_FOREIGN):
        name = b"%d" % number
        told += see(machine, Code(name, name, known=False))
        assert len(machine.state.foreign) <= MAX_FOREIGN
    # Each is kept for 600 s, and here is another every 2 s: 64 of them in 600 s.
    assert MAX_FOREIGN < len(told) <= 3 * MAX_FOREIGN
    assert len(machine.of(Verify)) == len(told)


def test_who_fills_the_memory_blinds_nobody(machine):
    for number in range(MAX_FOREIGN + 1):
        name = b"%d" % number
        see(machine, Code(name, name, known=False))
    assert len(machine.state.foreign) == MAX_FOREIGN
    assert see(machine, POSTER) == []
    assert see(machine, POSTER, TICKET, reason=Reason.EXPIRED) == [Reason.EXPIRED]
    see(machine)
    # A code of a format is then judged as every other: again after a second.
    for _ in range(2):
        assert see(machine, TICKET, reason=Reason.MALFORMED) == [Reason.MALFORMED]
        see(machine)
    assert machine.grant("b")


def test_the_last_place_is_taken(machine):
    for number in range(MAX_FOREIGN):
        name = b"%d" % number
        assert see(machine, Code(name, name, known=False)) == [Reason.UNKNOWN_FORMAT]
    assert see(machine, POSTER) == []


def test_what_was_forgotten_makes_room(make_machine):
    machine = make_machine(Rules(foreign_rearm_s=10_000.0))
    for number in range(MAX_FOREIGN):
        name = b"%d" % number
        see(machine, Code(name, name, known=False))
    machine.send(CodesSeen())
    assert see(machine, POSTER) == []
    machine.send(CodesSeen(), 10_000)
    assert machine.state.foreign == ()
    assert see(machine, POSTER) == [Reason.UNKNOWN_FORMAT]


@pytest.mark.parametrize("mode", [Mode.LOCKED, Mode.MAINTENANCE])
def test_a_gate_that_is_closed_says_so_to_a_poster_once(make_machine, mode):
    machine = make_machine(mode=mode)
    denied = {Mode.LOCKED: Reason.GATE_LOCKED, Mode.MAINTENANCE: Reason.MAINTENANCE}[mode]
    assert see(machine, POSTER) == [denied]
    see(machine)
    assert see(machine, POSTER) == []


def test_a_free_gate_says_nothing(make_machine):
    machine = make_machine(mode=Mode.FREE)
    assert see(machine, POSTER) == []
    assert machine.state.attempt == 0
