"""The queued log: a reader that stops, is slow, goes away; and a process that ends meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from agent.log import KEPT_BYTES, SPARE_BYTES, LogHealth, LogWriter
from tests.support.gate_on_disk import PATIENCE, until

LINE = b"x" * 1_023 + b"\n"


class Pipe:
    """A pipe, its writer, and what was told of losses."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 4_096)
        self.told: list[int] = []
        self.now_s = 0.0
        self.writer = LogWriter(self.writing, self.told.append, lambda: self.now_s)

    def stuff(self) -> int:
        """Put lines until the pipe and the queue are full; return how many found room."""
        put = 0
        while not self.writer.health().lost:
            self.writer.put(LINE)
            put += 1
        return put - 1

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += os.read(self.reading, size - len(data))
        return data

    def stop_reading(self) -> None:
        os.close(self.reading)
        self.reading = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    if made.reading >= 0:
        made.stop_reading()  # whoever still waits for it is let go
    made.writer.close()
    os.close(made.writing)


def test_lines_come_out_in_order(pipe: Pipe) -> None:
    lines = [f"{number}\n".encode() for number in range(300)]
    for line in lines:
        pipe.writer.put(line)
    assert pipe.read(sum(map(len, lines))) == b"".join(lines)
    assert pipe.writer.flush(10 * PATIENCE)
    assert pipe.writer.health() == LogHealth()


def test_a_reader_that_stops_costs_lines_and_no_time(pipe: Pipe) -> None:
    began = time.monotonic()
    room = pipe.stuff()
    assert (KEPT_BYTES - 4_096) // len(LINE) <= room <= (KEPT_BYTES + 4_096) // len(LINE) + 1
    for _ in range(1_000):
        pipe.writer.put(LINE)
    assert time.monotonic() - began < 20 * PATIENCE, "nobody waits for a reader that never comes"

    def stuck() -> bool:
        pipe.now_s += 1
        return pipe.writer.health().stuck_s >= 7

    until(stuck, "stuck")
    health = pipe.writer.health()
    assert (health.lost, health.waiting) == (1_001, True)
    assert not pipe.writer.flush(0.01)
    assert pipe.told == []


def test_what_was_lost_is_told_once_when_it_flows_again(pipe: Pipe) -> None:
    room = pipe.stuff()
    pipe.writer.put(LINE)
    pipe.read(room * len(LINE))
    until(lambda: pipe.told, "told")
    assert pipe.told == [2]
    assert pipe.writer.health() == LogHealth(lost=2)
    pipe.writer.put(LINE)
    pipe.read(len(LINE))
    assert pipe.writer.flush(10 * PATIENCE)
    assert pipe.told == [2]


def test_last_words_find_room_where_the_log_has_none(pipe: Pipe) -> None:
    pipe.stuff()
    pipe.writer.put(b"the end\n", KEPT_BYTES + SPARE_BYTES)
    assert pipe.writer.health().lost == 1


def test_one_line_that_is_longer_than_the_queue_is_lost(pipe: Pipe) -> None:
    pipe.writer.put(b"x" * (KEPT_BYTES + 1))
    assert pipe.writer.health().lost == 1


def test_a_reader_that_is_gone_costs_lines_only(pipe: Pipe) -> None:
    pipe.stop_reading()
    pipe.writer.put(LINE)
    assert pipe.writer.flush(10 * PATIENCE)
    pipe.writer.put(LINE)
    assert pipe.writer.flush(10 * PATIENCE)
    pipe.now_s = 3.0
    assert pipe.writer.health() == LogHealth(lost=2, stuck_s=3.0)
    assert pipe.told == []


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    room = pipe.stuff()
    assert pipe.read(room * len(LINE)) == LINE * room
    assert pipe.writer.flush(10 * PATIENCE)
    assert pipe.writer.health().lost == 1


def test_many_threads_may_log_at_once(pipe: Pipe) -> None:
    threads = [
        threading.Thread(target=lambda: [pipe.writer.put(b"abcdefg\n") for _ in range(200)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert pipe.read(8 * 200 * 8) == b"abcdefg\n" * 1_600
    for thread in threads:
        thread.join()


# A process with the queued log

BEGIN = """
import os, sys, threading, warnings
from agent import log
log.configure(style="json", queued=True)
"""


def run(code: str, **options) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", BEGIN + code], **options)


def ended(process: subprocess.Popen[bytes]) -> int:
    return process.wait(20 * PATIENCE)


def test_everything_said_comes_out_in_order_before_the_end() -> None:
    process = run(
        "log.get('a').info('one')\n"
        "print('two', file=sys.stderr)\n"
        "warnings.warn('three')\n"
        "threading.Thread(target=lambda: 1 / 0).start()\n"
        "log.get('a').info('four')\n"
        "raise SystemExit('five')\n",
        stderr=subprocess.PIPE,
    )
    said = process.communicate(timeout=20 * PATIENCE)[1].decode()
    assert process.returncode == 1
    places = [said.index(word) for word in ("one", "two", "three", "ZeroDivision")]
    assert places == sorted(places)
    assert said.index("four") < said.index("five")


def full_pipe() -> tuple[int, int]:
    """Return a pipe into which nothing more goes."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"\0" * 4_096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    return reading, writing


def test_a_process_ends_though_nobody_reads() -> None:
    reading, writing = full_pipe()
    process = run(
        "import ctypes\n"
        "for number in range(5_000): log.get('a').info('said', number=number)\n"
        "ctypes.CDLL(None).write(2, b'by a foreign library', 20)\n"
        "print('the end', file=sys.stderr)\n"
        "assert log.health().waiting and log.health().lost\n",
        stderr=writing,
    )
    os.close(writing)
    assert ended(process) == 0
    os.close(reading)


def test_a_reader_that_was_stopped_gets_the_rest_and_the_count() -> None:
    process = run(
        "sys.stdin.readline()\n"
        "for number in range(9_000): log.get('a').info('said', number=number)\n"
        "print('done', flush=True)\n"
        "sys.stdin.readline()\n",
        stderr=subprocess.PIPE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    reader = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.PIPE)
    process.stderr.close()
    reader.send_signal(signal.SIGSTOP)
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"done\n", "the process did not wait for its reader"
    reader.send_signal(signal.SIGCONT)
    assert reader.stdout is not None
    numbers, lost = [], None
    for line in reader.stdout:
        words = json.loads(line)
        if words["event"] == "log lines were lost":
            lost = words["lines"]
            break
        numbers.append(words["number"])
    assert numbers == list(range(len(numbers)))
    assert lost is not None
    assert len(numbers) + lost == 9_000
    process.stdin.close()
    assert ended(process) == 0
    reader.wait(20 * PATIENCE)
    process.stdout.close()
    reader.stdout.close()


def test_a_closed_standard_error_takes_no_file_of_ours() -> None:
    process = run(
        "name = sys.argv[0]\n"
        "with open('/proc/self/cmdline', 'rb') as file: assert file.fileno() > 2\n"
        "log.get('a').info('said')\n"
        "print('said', file=sys.stderr)\n",
        preexec_fn=lambda: os.close(2),
    )
    assert ended(process) == 0
