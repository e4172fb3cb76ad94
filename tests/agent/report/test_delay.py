"""How old a message can be, told from the answers to pings; the clock is the test's."""

from __future__ import annotations

from agent.report.delay import Delay


def test_what_comes_is_no_older_than_the_last_ping_that_was_answered():
    delay = Delay(100.0)
    assert delay.at_most_s(103.0) == 3.0  # nothing is known but the connection
    delay.ask(104.0)
    assert delay.asked
    assert delay.at_most_s(104.5) == 4.5
    delay.answered(104.6)
    assert not delay.asked
    assert delay.at_most_s(105.0) == 1.0
    delay.answered(109.0)  # an answer to nothing
    assert delay.at_most_s(109.0) == 5.0


def test_a_stall_makes_old_what_comes_before_its_answer_and_after_it():
    delay = Delay(0.0)
    delay.ask(1.0)
    assert delay.at_most_s(29.0) == 29.0
    delay.answered(29.0)
    assert delay.at_most_s(29.0) == 28.0
    delay.ask(29.1)
    delay.answered(29.2)
    assert delay.at_most_s(29.3) == 28.0  # what was held up elsewhere may come out now
    delay.ask(33.0)
    delay.answered(33.1)
    assert delay.at_most_s(33.99) == 28.0
    assert delay.at_most_s(34.0) == 1.0


def test_an_answer_of_two_seconds_is_no_stall_yet():
    delay = Delay(0.0)
    delay.ask(10.0)
    delay.answered(12.0)
    delay.ask(12.0)
    delay.answered(12.5)
    assert delay.at_most_s(12.5) == 0.5
    delay.ask(13.0)
    delay.answered(15.25)
    delay.ask(15.25)
    delay.answered(15.5)
    assert delay.at_most_s(15.5) == 2.25


def test_answers_belong_to_pings_in_order():
    delay = Delay(0.0)
    delay.ask(1.0)
    delay.ask(31.0)
    delay.answered(31.5)
    assert delay.asked
    assert delay.at_most_s(31.5) == 30.5
