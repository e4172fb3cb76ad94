"""Options of the whole suite."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_MATH = ctypes.CDLL("libm.so.6") if platform.libc_ver()[0] == "glibc" else None
_DEFAULT_ENVIRONMENT = ctypes.c_void_p(-1)  # FE_DFL_ENV of fenv.h


def pytest_addoption(parser) -> None:
    parser.addoption(
        "--device",
        action="store_true",
        help="run tests/device too, on a real Raspberry Pi wired as docs/wiring.md says",
    )


def pytest_configure() -> None:
    """Let no example of a property fail by the wall's clock: a busy machine stops any for long."""
    from hypothesis import HealthCheck, settings

    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("idgate", patient)
    settings.load_profile("idgate")


_LONG = (
    "tests/packaging/test_install.py",
    "tests/agent/daemon/test_fleet.py",
    "tests/docs/test_afternoon.py",
    "tests/agent/desk/web/test_browser.py",
    "tests/docs/test_fleet_with_a_gate.py",
    "tests/agent/demo/test_demo.py",
    "tests/agent/daemon/test_daemon.py",
    "tests/agent/daemon/test_accounting.py",
)
"""Files of half a minute and more: the run would end with waiting for one that began late."""
_WAITING = (
    "tests/agent/daemon/",
    "tests/agent/desk/",
    "tests/agent/fleet/",
    "tests/agent/wallet/",
    "tests/chaos/",
    "tests/docs/test_adding_",
    "tests/packaging/",
)
"""Whose tests wait for other processes most of the time."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, let files that wait and files that calculate take turns: both cores are used."""
    if not (hasattr(config, "workerinput") or config.getoption("numprocesses", None)):
        return
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    waiting = [name for name in files if name.startswith(_WAITING) and name not in _LONG]
    others = [name for name in files if not name.startswith(_WAITING) and name not in _LONG]
    # Each with its place on the way from 0 to 1; those that wait are through a little earlier.
    places = {name: 0.9 * number / len(waiting) for number, name in enumerate(waiting)}
    places |= {name: number / len(others) for number, name in enumerate(others)}
    places |= {name: -1.0 for name in _LONG if name in files}
    ordered = [*(name for name in _LONG if name in files), *waiting, *others]
    ordered.sort(key=places.__getitem__)
    items[:] = [item for name in ordered for item in files[name]]


def pytest_collection_finish() -> None:
    """Keep what was collected out of every later look for garbage: it stays to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _arithmetic_as_it_was() -> None:
    """Have each test begin with IEEE 754's own rules.

    On aarch64, importing tflite_runtime makes the thread take the smallest floats for zero; the
    library was built with fast arithmetic. Hypothesis then refuses to make floats.
    """
    if _MATH is not None:
        _MATH.fesetenv(_DEFAULT_ENVIRONMENT)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command run in this process sets up logging; the next test must not inherit its stream."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Mosquitto:
    """A real broker on a free loopback port; `kill` is SIGKILL, `start` brings it back."""

    def __init__(self, directory: Path, settings: str = "allow_anonymous true") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._path = directory / f"mosquitto-{self.port}.conf"
        if os.geteuid() == 0:
            # Otherwise it becomes the user mosquitto, who cannot read a test's directory.
            settings += "\nuser root"
        self._path.write_text(f"listener {self.port} 127.0.0.1\n{settings}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with self._path.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-v", "-c", str(self._path)], stdout=log, stderr=log
            )
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.01)
        raise TimeoutError(self.log())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        return self._path.with_suffix(".log").read_text(errors="replace")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Return a maker of running brokers; all are killed at the end."""
    if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("Mosquitto is not installed")
    brokers: list[Mosquitto] = []

    def make(settings: str = "allow_anonymous true") -> Mosquitto:
        brokers.append(Mosquitto(tmp_path, settings))
        return brokers[-1].start()

    yield make
    for broker in brokers:
        broker.kill()
