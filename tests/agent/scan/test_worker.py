"""Decoders that hang, crash and eat memory inside the worker, not signals from outside."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

from agent.sandbox.supervisor import IncidentKind
from agent.scan.scanner import Scanner
from agent.scan.wire import Job, pack_job
from agent.settings.model import ScanConfig

POISONED = """
import ctypes, importlib, numpy, sys
folder = {folder!r}
sys.path.remove(folder)
itself = sys.modules.pop("zxingcpp")
real = importlib.import_module("zxingcpp")
sys.modules["zxingcpp"] = itself
sys.path.insert(0, folder)
BarcodeFormat, Binarizer = real.BarcodeFormat, real.Binarizer

def read_barcodes(image, **options):
    dose = int(image[0, 0]) if image.shape == (100, 100) else 0
    if dose == 1:
        while True:
            real.read_barcodes(image, **options)
    if dose == 2:
        ctypes.string_at(0)
    if dose == 3:
        hoard = []
        while True:
            hoard.append(numpy.empty(50_000_000))
    if dose == 4:
        raise RuntimeError("an exception that nobody expects")
    return real.read_barcodes(image, **options)
"""


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """A scanner whose zxing-cpp has the faults that crafted pictures have found in decoders."""
    folder = tmp_path_factory.mktemp("poison")
    (folder / "zxingcpp.py").write_text(POISONED.format(folder=str(folder)))
    sys.path.insert(0, str(folder))
    incidents = []
    try:
        with Scanner(ScanConfig(deadline_ms=500), incidents.append) as scanner:
            scanner.wait_ready(30)
            yield scanner, incidents
    finally:
        sys.path.remove(str(folder))


@pytest.mark.parametrize(
    ("dose", "kind", "detail"),
    [
        (1, IncidentKind.HANG, "no answer"),
        (2, IncidentKind.CRASH, "SIGSEGV"),
        (3, IncidentKind.CRASH, "exit code 1"),
        (4, IncidentKind.CRASH, "exit code 1"),
    ],
    ids=["endless loop", "bad pointer", "memory without end", "exception"],
)
def test_a_decoder_that_fails_costs_its_frame_only(poisoned, draw, dose, kind, detail):
    scanner, incidents = poisoned
    incidents.clear()
    poison = np.full((100, 100), dose, dtype=np.uint8)
    result = scanner.scan_luma(poison)
    assert (result.payloads, result.incident) == ((), kind)
    assert [incident.kind for incident in incidents] == [kind]
    assert detail in incidents[0].detail
    good = scanner.scan_luma(draw("the next person"))
    assert [payload.data for payload in good.payloads] == [b"the next person"]
    assert good.incident is None


def test_a_frame_that_does_not_fit_the_memory_is_no_read_outside(draw):
    """A daemon with a fault could name any size; the worker ends instead of reading on."""
    with Scanner(ScanConfig()) as scanner:
        scanner.wait_ready(30)
        scanner._supervisor.process.ask(pack_job(Job(1, width=65_535, height=65_535, turn=0)), 0.1)
        assert scanner._supervisor.process.answer(5, 1000) == b""
        result = scanner.scan_luma(draw("and goes on"))
        assert [payload.data for payload in result.payloads] == [b"and goes on"]


def test_signals_to_the_whole_terminal_end_no_decoder(draw):
    """Ctrl-C reaches the process group; the daemon decides when its decoder ends."""
    with Scanner(ScanConfig()) as scanner:
        scanner.wait_ready(30)
        for pid in (scanner.stem_pid, scanner.worker_pid):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                assert pid > 1
                os.kill(pid, number)
        result = scanner.scan_luma(draw("still here"))
        assert ([p.data for p in result.payloads], result.incident) == ([b"still here"], None)
