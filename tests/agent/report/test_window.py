"""What is sent next: live first, backlog at a rate, again when nobody answers."""

from __future__ import annotations

import pytest

from agent.fleet.memory import MemoryOutbox
from agent.journal.events import Decision
from agent.reason import Reason
from agent.report.window import PROBE_ROWS, Window

EVENT = Decision(passage="ab" * 16, decision="denied", reason=Reason.EXPIRED)


def outbox_with(rows: int) -> MemoryOutbox:
    outbox = MemoryOutbox(lambda: 0.0)
    for _ in range(rows):
        outbox.append(EVENT)
    return outbox


def seqs(rows) -> list[int]:
    return [row.seq for row in rows]


def drain(window: Window, now: float, seconds: float, room: int = 32) -> list[int]:
    """Take in small steps of time, as the reporter does."""
    found = []
    for step in range(int(seconds * 100)):
        found += seqs(window.take(now + step / 100, room))
    return found


def test_the_backlog_goes_out_in_order_at_its_rate():
    window = Window(outbox_with(500), rate=50)
    window.opened(0.0)
    sent = drain(window, 0.0, 4.0)
    assert sent == list(range(1, len(sent) + 1))
    assert 200 <= len(sent) <= 250 + 1


def test_live_rows_go_first_and_at_once():
    outbox = outbox_with(500)
    window = Window(outbox, rate=10)
    window.opened(0.0)
    assert seqs(window.take(0.0, 5)) == [1, 2, 3, 4, 5]
    outbox.append(EVENT)
    outbox.append(EVENT)
    assert seqs(window.take(0.0, 3)) == [501, 502, 6]


def test_live_rows_do_not_wait_for_tokens():
    outbox = outbox_with(100)
    window = Window(outbox, rate=1)
    window.opened(0.0)
    drain(window, 0.0, 1.0)
    for number in range(50):
        outbox.append(EVENT)
        assert seqs(window.take(1.0, 32))[0] == 101 + number


def test_room_bounds_everything():
    outbox = outbox_with(100)
    window = Window(outbox, rate=1_000)
    window.opened(0.0)
    assert window.take(0.0, 0) == []
    assert len(window.take(0.0, 7)) == 7
    for _ in range(10):
        outbox.append(EVENT)
    assert seqs(window.take(0.0, 4)) == [101, 102, 103, 104]
    assert seqs(window.take(0.0, 4)) == [105, 106, 107, 108]
    assert window.wait_s(0.0) == 0.0


def test_silence_brings_a_probe_then_longer_silence():
    window = Window(outbox_with(1_000), rate=10_000, resend_s=20)
    window.opened(0.0)
    assert len(drain(window, 0.0, 1.0, room=1_000)) == 1_000
    assert drain(window, 1.0, 18.0) == []
    assert drain(window, 19.9, 1.0) == list(range(1, PROBE_ROWS + 1))
    assert drain(window, 21.0, 38.0) == []
    assert drain(window, 59.0, 3.0) == list(range(1, PROBE_ROWS + 1))
    assert window.resent == 2 * PROBE_ROWS


def test_an_answer_ends_probing_and_resends_the_rest():
    outbox = outbox_with(200)
    window = Window(outbox, rate=10_000, resend_s=20)
    window.opened(0.0)
    drain(window, 0.0, 1.0, room=1_000)
    drain(window, 20.0, 1.0)
    outbox.acknowledge(outbox.boot_id, PROBE_ROWS)
    window.acknowledged(21.0)
    assert drain(window, 21.0, 19.0) == []
    assert drain(window, 41.0, 1.0)[0] == PROBE_ROWS + 1


def test_an_idle_gate_never_probes():
    outbox = outbox_with(1)
    window = Window(outbox, rate=100, resend_s=20)
    window.opened(0.0)
    drain(window, 0.0, 1.0)
    outbox.acknowledge(outbox.boot_id, 1)
    window.acknowledged(1.0)
    assert drain(window, 1.0, 30.0) == []
    outbox.append(EVENT)
    assert drain(window, 1_000.0, 15.0) == [2]


def test_a_new_connection_sends_all_that_waits_again():
    outbox = outbox_with(10)
    window = Window(outbox, rate=1_000)
    window.opened(0.0)
    assert len(drain(window, 0.0, 1.0)) == 10
    outbox.acknowledge(outbox.boot_id, 4)
    window.opened(2.0)
    assert drain(window, 2.0, 1.0) == [5, 6, 7, 8, 9, 10]


def test_a_pause_holds_the_backlog_and_not_live_rows():
    outbox = outbox_with(10)
    window = Window(outbox, rate=1_000)
    window.opened(0.0)
    window.pause(0.0, 60.0)
    assert drain(window, 0.0, 1.0) == []
    outbox.append(EVENT)
    assert seqs(window.take(1.0, 32)) == [11]
    assert window.wait_s(1.0) == pytest.approx(59.0)
    assert drain(window, 60.0, 1.0) == list(range(1, 11))


def test_replays_are_sent_within_the_rate_and_bounded():
    outbox = outbox_with(300)
    window = Window(outbox, rate=100)
    window.opened(0.0)
    drain(window, 0.0, 4.0)
    window.replay(outbox.boot_id, 50, 250)
    window.replay("00" * 16, 1, 10)
    window.replay(outbox.boot_id, 7, 8)
    first = drain(window, 4.0, 1.0)
    assert len(first) <= PROBE_ROWS + 100
    assert first + drain(window, 5.0, 3.0) == [*range(50, 251), 7, 8]
    for _ in range(200):
        window.replay(outbox.boot_id, 1, 1)
    assert len(drain(window, 8.0, 2.0)) == 64
