"""A real engine: `--device -s`, its port in IDGATE_ENGINE_PORT (serial) or IDGATE_ENGINE_KEYBOARD.

Hold one QR code before it when it is asked for. IDGATE_ENGINE_MODEL names another model than gm65.
"""

from __future__ import annotations

import os
import time

import pytest

from hal.engine.keyboard import KeyboardEngine
from hal.engine.line import LineSettings, SerialEngine
from hal.scan_engine import Scan, ScanEngine

SHOWN_WITHIN_S = 30.0


def named(variable: str) -> str:
    port = os.environ.get(variable, "")
    if not port:
        pytest.skip(f"{variable} names no port")
    return port


def shown(engine: ScanEngine) -> Scan:
    """Wait for a code; say how long it took from its first byte to its last."""
    print(f"\nhold a QR code before the engine within {SHOWN_WITHIN_S:.0f} s")
    scan = engine.read(SHOWN_WITHIN_S)
    assert scan is not None, engine.counts
    took_s = (time.monotonic_ns() - scan.captured_ns) / 1e9
    print(f"{len(scan.data)} bytes in {took_s:.2f} s, identifier {scan.symbology!r}")
    return scan


def test_a_serial_engine_is_set_up_and_reads() -> None:
    port, model = named("IDGATE_ENGINE_PORT"), os.environ.get("IDGATE_ENGINE_MODEL", "gm65")
    with SerialEngine(LineSettings(port, model=model)) as engine:
        assert shown(engine).symbology.startswith("Q")
        # Seven seconds on it was asked whether it is as it was set up.
        until = time.monotonic() + 7
        while time.monotonic() < until:
            engine.read(0.1)


def test_a_keyboard_is_had_alone_and_reads() -> None:
    with KeyboardEngine(named("IDGATE_ENGINE_KEYBOARD")) as engine:
        assert shown(engine).symbology.startswith("Q")
