"""Faults are told when they begin and end, and never flood."""

from __future__ import annotations

from agent.report.faults import QUIET_S, FaultBoard


def board():
    told = []
    return FaultBoard("mqtt", told.append), told


def test_beginning_and_end_are_told_a_minute_apart():
    faults, told = board()
    faults.raise_("tls", "bad certificate", 0.0)
    faults.raise_("tls", "bad certificate", 1.0)
    assert faults.active() == ("tls",)
    faults.clear("tls", 2.0)
    assert faults.active() == ()
    assert [(fault.code, fault.active) for fault in told] == [("tls", True)]
    faults.tick(QUIET_S - 1)
    assert len(told) == 1
    faults.tick(QUIET_S)
    assert [(fault.active, fault.count) for fault in told] == [(True, 1), (False, 1)]


def test_flapping_is_told_as_what_it_ends_as():
    faults, told = board()
    for second in range(600):
        faults.raise_("tls", "x", second)
        faults.clear("tls", second + 0.5)
    faults.tick(10_000)
    assert len(told) <= 2 * 10 + 2
    assert not told[-1].active


def test_notes_are_told_once_a_minute_with_their_count():
    faults, told = board()
    for second in range(120):
        faults.note("unsigned", "cmd/open refused", float(second))
    assert faults.active() == ()
    assert [fault.count for fault in told] == [1, 60]


def test_clearing_what_never_was_is_nothing():
    faults, told = board()
    faults.clear("tls", 0.0)
    faults.tick(100.0)
    assert told == []


def test_details_are_cut():
    faults, told = board()
    faults.raise_("tls", "x" * 1_000, 0.0)
    assert len(told[0].detail) == 200
