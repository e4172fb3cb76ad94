"""The scanner against its real processes: hung, killed, lying, and orphaned ones."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import agent.scan.scanner
from agent.sandbox.stem import JOB_LIMIT
from agent.sandbox.supervisor import IncidentKind
from agent.sandbox.wire import unpack_budget
from agent.scan.cascade import RETRIES
from agent.scan.scanner import ScanError, Scanner, Variant
from agent.scan.wire import NO_HURRY, Answer, Payload, pack_answer, pack_job, unpack_job
from agent.settings.model import ScanConfig
from hal.camera import Frame

DEADLINE_S = 0.4
SLACK_S = 0.75  # the machine may be busy; a scanner that waits without end is what this finds


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def strike(pid: int, number: signal.Signals) -> None:
    assert pid > 1, "0 would mean this whole process group"
    os.kill(pid, number)


def data(result) -> list[bytes]:
    return [payload.data for payload in result.payloads]


def test_a_frame_is_decoded_with_its_sequence(scanner, draw):
    frame = Frame(draw(bytes(range(256))), 0, 0.0, 41, "code")
    result = scanner.scan(frame)
    assert data(result) == [bytes(range(256))]
    assert (result.sequence, result.variant, result.incident) == (41, Variant.PLAIN, None)
    assert 0 < result.decode_ms < 250


def test_strided_and_turned_views_are_decoded(scanner, draw):
    frame = draw("padded", size=(720, 1280))
    padded = np.zeros((720, 1344), dtype=np.uint8)
    padded[:, :1280] = frame
    for view in (padded[:, :1280], np.rot90(frame), frame[::-1, ::-1], frame[::2, ::2]):
        assert not view.flags.c_contiguous
        assert data(scanner.scan_luma(view)) == [b"padded"]


def test_a_smaller_frame_sees_nothing_of_a_larger_one(scanner, draw):
    assert data(scanner.scan_luma(draw("secret")))
    assert data(scanner.scan_luma(np.full((90, 160), 127, dtype=np.uint8))) == []


def test_the_frame_in_hand_is_not_changed(scanner, draw):
    frame = draw("read only")
    before = frame.copy()
    frame.flags.writeable = False
    scanner.scan_luma(frame)
    assert (frame == before).all()


@pytest.mark.parametrize("shape", [(0, 10), (10, 0), (4096, 3073), (70_000, 1), (4, 4, 3)])
def test_shapes_that_no_camera_has_are_refused(scanner, shape):
    with pytest.raises(ScanError, match="shape"):
        scanner.scan_luma(np.zeros(shape, dtype=np.uint8))


def test_a_killed_worker_is_replaced_in_the_same_frame(scanner, incidents, draw, has_ended):
    frame = draw("still here")
    dead = os.pidfd_open(scanner.worker_pid)
    signal.pidfd_send_signal(dead, signal.SIGKILL)
    assert has_ended(dead)
    result = scanner.scan_luma(frame)
    assert data(result) == [b"still here"]
    assert result.incident is IncidentKind.CRASH
    assert [(i.kind, i.total) for i in incidents] == [(IncidentKind.CRASH, 1)]
    assert "SIGKILL" in incidents[0].detail
    assert scanner.scan_luma(frame).incident is None


def test_a_worker_killed_while_it_decodes_costs_one_frame(scanner, incidents, draw):
    strike(scanner.worker_pid, signal.SIGSTOP)  # so that it is surely busy
    threading.Timer(0.05, strike, (scanner.worker_pid, signal.SIGKILL)).start()
    result = scanner.scan_luma(draw("lost"))
    assert (data(result), result.incident) == ([], IncidentKind.CRASH)
    assert data(scanner.scan_luma(draw("next"))) == [b"next"]
    assert [i.kind for i in incidents] == [IncidentKind.CRASH]


def test_a_hung_worker_costs_the_deadline_and_is_replaced(scanner, incidents, draw, has_ended):
    hung = os.pidfd_open(scanner.worker_pid)
    strike(scanner.worker_pid, signal.SIGSTOP)
    started = time.monotonic()
    result = scanner.scan_luma(draw("lost"))
    assert DEADLINE_S <= time.monotonic() - started < DEADLINE_S + SLACK_S
    assert (data(result), result.variant, result.incident) == ([], Variant.NONE, IncidentKind.HANG)
    assert [(i.kind, i.total) for i in incidents] == [(IncidentKind.HANG, 1)]
    next_one = scanner.scan_luma(draw("next"))
    assert (data(next_one), next_one.incident) == ([b"next"], None)
    assert has_ended(hung)


def test_every_frame_may_hang_and_each_next_one_has_a_worker(scanner, incidents, draw):
    """A warm stem, not one spare: an attacker may show the code that hangs again and again."""
    for number in range(1, 4):
        strike(scanner.worker_pid, signal.SIGSTOP)
        assert scanner.scan_luma(draw("lost")).incident is IncidentKind.HANG
        assert data(scanner.scan_luma(draw("read"))) == [b"read"]
        assert scanner.incidents[IncidentKind.HANG] == number
    assert [i.total for i in incidents] == [1, 2, 3]


def test_the_turn_goes_on_after_a_hang(scanner):
    """What killed one worker is not the first thing its successor does."""
    noise = np.random.default_rng(0).integers(0, 255, (120, 160), dtype=np.uint8)
    scanner.scan_luma(noise)
    before = scanner.scan_luma(noise).variant
    strike(scanner.worker_pid, signal.SIGSTOP)
    scanner.scan_luma(noise)
    assert scanner.scan_luma(noise).variant is Variant.SOFT
    after = [scanner.scan_luma(noise).variant for _ in range(2)][-1]
    assert {before, after} <= set(RETRIES)
    assert after is not before


def test_how_long_a_frame_has_is_the_cameras_own_distance(scanner, draw, monkeypatch):
    jobs = []
    monkeypatch.setattr(
        "agent.scan.scanner.pack_job", lambda job: jobs.append(job.spare_ms) or pack_job(job)
    )
    luma = draw("on time")
    for sequence, captured_ms in ((1, 0), (2, 66), (5, 266), (5, 300), (1, 330), (2, 10**9)):
        scanner.scan(Frame(luma, captured_ms * 1_000_000, 0.0, sequence, "code"))
    assert jobs == [NO_HURRY, 66, 67, NO_HURRY, NO_HURRY, NO_HURRY]


def test_a_page_of_patterns_costs_one_deadline_and_hides_no_code(scanner, incidents, draw, finders):
    """Finder patterns as fine as a pixel: seconds for each variant, on a phone or a poster."""
    amid = draw("amid", module_px=3, onto=finders())
    assert scanner.scan_luma(finders(), deadline_ms=40).incident is IncidentKind.HANG
    softened = scanner.scan_luma(amid, deadline_ms=2_000)
    assert (data(softened), softened.variant) == ([b"amid"], Variant.SOFT)
    assert scanner.scan_luma(draw("after")).variant is Variant.PLAIN
    assert [incident.kind for incident in incidents] == [IncidentKind.HANG]


def test_the_settings_reach_the_worker():
    noise = np.random.default_rng(1).integers(0, 255, (120, 160), dtype=np.uint8)
    for settings, tried, never in (
        (ScanConfig(retry=False), {Variant.PLAIN}, {*RETRIES}),
        (ScanConfig(), {Variant.PYZBAR}, set()),
        (ScanConfig(pyzbar=False), {Variant.CLAHE}, {Variant.PYZBAR}),
    ):
        with Scanner(settings) as scanner:
            scanner.wait_ready(30)
            seen = {scanner.scan_luma(noise).variant for _ in range(len(RETRIES) + 1)}
            assert tried <= seen
            assert not never & seen


class Impostor:
    """Plays the worker on the scanner's own socket, and says what it is told to."""

    def __init__(self, scanner: Scanner, lie) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        scanner._supervisor.process._jobs.close()
        scanner._supervisor.process._jobs = ours
        self._socket = theirs
        self._lie = lie
        self._thread = threading.Thread(target=self._answer)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join(5)
        self._socket.close()

    def _answer(self) -> None:
        job = unpack_job(unpack_budget(self._socket.recv(JOB_LIMIT))[0])
        self._socket.send(self._lie(job))


CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))


def honest(job) -> bytes:
    payload = Payload(b"trust me", CORNERS, "pyzbar")
    return pack_answer(Answer(job.sequence, 5, Variant.PLAIN, (payload,)))


LIES = {
    "one byte": lambda _: b"x",
    "zeros": lambda _: bytes(200),
    "an old answer": lambda job: (
        honest(job)[:0] + bytes([(job.sequence + 1) % 256]) + honest(job)[1:]
    ),
    "cut short": lambda job: honest(job)[:-1],
    "too long": lambda job: honest(job) + b"\0",
    "huge": lambda _: b"\xff" * 100_000,
    "a length over the end": lambda job: honest(job)[:27] + b"\xff\xff" + honest(job)[29:],
    "a pickle": lambda _: b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lying_worker_is_replaced(scanner, incidents, draw, lie):
    with Impostor(scanner, lie):
        result = scanner.scan_luma(draw("victim"), sequence=3)
    assert (data(result), result.incident) == ([], IncidentKind.GARBAGE)
    assert [i.kind for i in incidents] == [IncidentKind.GARBAGE]
    assert data(scanner.scan_luma(draw("next"))) == [b"next"]


def test_the_impostor_is_believed_when_it_keeps_the_layout(scanner, draw):
    """The control: what the lies above break is the lie, not the impostor."""
    with Impostor(scanner, honest):
        assert data(scanner.scan_luma(draw("victim"), sequence=3)) == [b"trust me"]


def test_a_lost_stem_is_started_anew(scanner, incidents, draw, has_ended):
    stem = os.pidfd_open(scanner.stem_pid)
    worker = os.pidfd_open(scanner.worker_pid)
    signal.pidfd_send_signal(stem, signal.SIGKILL)
    assert has_ended(worker), "the worker dies with its parent"
    os.close(stem)
    first = scanner.scan_luma(draw("lost"))
    assert first.incident is IncidentKind.CRASH
    # On a quiet machine the new stem is there before the frame's deadline.
    assert data(first) in ([], [b"lost"])
    until = time.monotonic() + 30
    results = []
    while time.monotonic() < until and not any(results):
        results.append(data(scanner.scan_luma(draw("back"))))
    assert results[-1] == [b"back"]
    assert [i.kind for i in incidents] == [IncidentKind.CRASH, IncidentKind.LOST]


def test_a_stopped_stem_is_given_up(scanner, incidents, draw, monkeypatch):
    monkeypatch.setattr("agent.sandbox.process.REPLY_PATIENCE_S", 0.3)
    strike(scanner.stem_pid, signal.SIGSTOP)
    strike(scanner.worker_pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        started = time.monotonic()
        result = scanner.scan_luma(draw("back"))
        assert time.monotonic() - started < DEADLINE_S + SLACK_S
        if result.payloads:
            break
    assert data(result) == [b"back"]
    assert IncidentKind.LOST in {i.kind for i in incidents}


def test_the_stem_has_one_thread(scanner):
    """A fork of a process with threads may find locks held for ever."""
    assert status(scanner.stem_pid)["Threads"] == "1"
    assert status(scanner.worker_pid)["Threads"] == "1"


def test_a_worker_has_no_privileges(scanner):
    facts = status(scanner.worker_pid)
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2", "a filter"
    assert set(facts["CapEff"]) == {"0"}
    assert facts["Name"] == "idgate-scan"
    if os.getuid() == 0:
        assert set(facts["Uid"].split()) == {"65534"}
        assert set(facts["Gid"].split()) == {"65534"}
        assert facts["Groups"] == ""
    limits = Path(f"/proc/{scanner.worker_pid}/limits").read_text()
    rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()[1:]}
    assert rows["Max open files"] == ["0", "0"]
    assert rows["Max processes"] == ["0", "0"]
    assert rows["Max core file size"] == ["0", "0"]
    assert rows["Max file size"] == ["0", "0"]
    assert int(rows["Max address space"][1]) < 2 * 1024**3


HOLDER = """
import sys
from agent.settings.model import ScanConfig
from agent.scan.scanner import Scanner
scanner = Scanner(ScanConfig())
scanner.wait_ready(30)
print(scanner.stem_pid, scanner.worker_pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("stopped", [False, True], ids=["idle", "worker stopped"])
def test_no_process_outlives_a_killed_daemon(stopped, has_ended):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        stem, worker = (int(word) for word in holder.stdout.readline().split())
        handles = [os.pidfd_open(stem), os.pidfd_open(worker)]
        if stopped:
            strike(worker, signal.SIGSTOP)
        holder.kill()
        assert [has_ended(handle) for handle in handles] == [True, True]


def test_close_ends_both_processes_and_may_be_repeated(draw, has_ended):
    scanner = Scanner(ScanConfig())
    scanner.wait_ready(30)
    handles = [os.pidfd_open(scanner.stem_pid), os.pidfd_open(scanner.worker_pid)]
    scanner.close()
    scanner.close()
    assert [has_ended(handle) for handle in handles] == [True, True]
    with pytest.raises(ScanError, match="closed"):
        scanner.scan_luma(draw("late"))
    assert (scanner.worker_pid, scanner.stem_pid) == (0, 0)


def test_no_descriptor_is_left_open(draw):
    def count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = count()
    for _ in range(2):
        with Scanner(ScanConfig(deadline_ms=200)) as scanner:
            scanner.wait_ready(30)
            for _ in range(3):
                strike(scanner.worker_pid, signal.SIGKILL)
                scanner.scan_luma(draw("x"))
    assert count() == before


def test_frames_before_the_decoder_is_ready_come_back_empty(draw):
    with Scanner(ScanConfig(deadline_ms=20)) as scanner:
        first = scanner.scan_luma(draw("early"))
        assert (data(first), first.incident) == ([], None)
        scanner.wait_ready(30)
        assert data(scanner.scan_luma(draw("early"), deadline_ms=250)) == [b"early"]


def test_a_missing_decoder_is_said_at_start(monkeypatch, tmp_path):
    """A decoder whose library is not installed: the import fails in the stem."""
    broken = tmp_path / "zxingcpp.py"
    broken.write_text("raise ImportError('libZXing.so.3: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Scanner(ScanConfig()) as scanner, pytest.raises(ScanError, match=r"libZXing.so.3"):
        scanner.wait_ready(30)


def test_a_decoder_that_is_too_slow_to_start_is_said(monkeypatch, tmp_path):
    slow = tmp_path / "zxingcpp.py"
    slow.write_text("import select\nselect.select([], [], [], 60)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("agent.sandbox.process.REPLY_PATIENCE_S", 0.1)
    with Scanner(ScanConfig()) as scanner, pytest.raises(ScanError, match=r"within 0.2 s"):
        scanner.wait_ready(0.2)
    patient = ScanConfig(start_s=1.0)
    with Scanner(patient) as scanner, pytest.raises(ScanError, match=r"within 1 s"):
        scanner.wait_ready()


def test_importing_the_scanner_loads_no_decoder():
    code = "import sys, agent.scan.scanner; print([m for m in ('cv2', 'zxingcpp', 'pyzbar') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert agent.scan.scanner.Payload is Payload
