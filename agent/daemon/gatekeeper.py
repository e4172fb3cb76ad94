"""How the daemon comes to a gatekeeper: the unit's by its socket, or one that it starts itself.

Rules:
- Which one is the settings' choice (`gpio.gatekeeper`); neither stands in for the other.
- One that the daemon starts is a session of its own, so that nothing sent to the daemon's group
  reaches it, and it outlives a daemon that is killed: fire and release work on. It goes when a
  daemon leaves in good order, or when its directory is gone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import agent
from agent.daemon.pins import pin_map
from agent.gate.gate import Connect, Gate, end_session
from agent.gatekeeper.__main__ import make_gpio
from agent.gatekeeper.gatekeeper import make_safe
from agent.gatekeeper.kept import load_map
from agent.gatekeeper.pinmap import PinMap, inputs
from agent.gatekeeper.server import MAP_FILE, SOCKET_FILE
from agent.passage.events import InputEvent
from agent.settings.load import load
from agent.settings.model import Config, ConfigError
from hal.errors import DeviceUnavailable
from hal.gpio import Pull

__all__ = ["connector", "gatekeeper_dir", "looking", "make_gate_safe", "reach", "visiting"]

UNIT_DIR = Path("/var/lib/idgate-gatekeeper")
UNIT_RUN_DIR = Path("/run/idgate-gatekeeper")
_START_S = 10.0
_PAUSE_S = 0.01
_RUN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from agent.gatekeeper.__main__ import main
sys.exit(main())
"""


def gatekeeper_dir(config: Config) -> Path:
    """Return where a gatekeeper that the daemon starts keeps its files."""
    return config.state_path("gatekeeper").absolute()


def connector(config: Config) -> Connect:
    """Return what reaches the gatekeeper that the settings name."""
    if config.gpio.gatekeeper:
        path = config.path(config.gpio.gatekeeper)
        return lambda: _unit(path)
    return lambda: _own(gatekeeper_dir(config))


@contextmanager
def looking(config: Config) -> Iterator[Callable[[], frozenset[str]]]:
    """Look at the inputs of a gate that nobody decides for; no output is touched.

    Yields:
        what returns the names of those whose level is the active one.

    Raises:
        DeviceUnavailable: a daemon decides for the gate, or the lines are not to be had.
    """
    if _lives(config):
        with _session(connector(config), config, lambda _event: None) as gate:
            yield lambda: gate.health().active
        return
    lines = pin_map(config)
    fitted, gpio = inputs(lines), make_gpio(lines)
    try:
        for line in fitted:
            gpio.setup_input(line.pin, pull=Pull.UP if line.pull_up else Pull.DOWN)
        yield lambda: frozenset(line.name for line in fitted if gpio.read(line.pin) == line.active)
    finally:
        gpio.close()


@contextmanager
def visiting(config: Config, on_input: Callable[[InputEvent], None]) -> Iterator[Gate]:
    """Decide for a gate for a moment, as an installer does who tries its lamps and its relay.

    Where no gatekeeper lives one is started for this alone; it keeps nothing in the gate's state.

    Raises:
        DeviceUnavailable: a daemon decides for the gate, or the lines are not to be had.
    """
    with ExitStack() as stack:
        connect = connector(config) if _lives(config) else stack.enter_context(_for_a_visit())
        gate = stack.enter_context(_session(connect, config, on_input))
        yield gate
        if error := gate.health().error:
            raise DeviceUnavailable(error)


@contextmanager
def _session(
    connect: Connect, config: Config, on_input: Callable[[InputEvent], None]
) -> Iterator[Gate]:
    """Begin a session, and wait until the gatekeeper has said how its lines are."""
    with Gate(connect, pin_map(config), on_input) as gate:
        end = time.monotonic() + _START_S
        while not gate.health().alive:
            if time.monotonic() > end:
                raise DeviceUnavailable("the gatekeeper does not say how its lines are")
            time.sleep(_PAUSE_S)
        yield gate


@contextmanager
def _for_a_visit() -> Iterator[Connect]:
    """Run a gatekeeper that ends with the visit, whatever its lines say."""
    with tempfile.TemporaryDirectory(prefix="idgate-gate-") as scratch:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            _command(Path(scratch)), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/"
        )
        assert process.stderr is not None
        path = Path(scratch, SOCKET_FILE)
        end = time.monotonic() + _START_S
        try:
            while not _listens(path):
                if process.poll() is not None or time.monotonic() > end:
                    said = process.stderr.read() if process.returncode else b""
                    raise DeviceUnavailable(_said(said) or "the gatekeeper does not start")
                time.sleep(_PAUSE_S)
            yield lambda: reach(path)
        finally:
            process.terminate()
            process.wait()
            process.stderr.close()


def _lives(config: Config) -> bool:
    """Tell whether a gatekeeper owns the gate's lines already."""
    return bool(config.gpio.gatekeeper) or _listens(gatekeeper_dir(config) / SOCKET_FILE)


def _listens(path: Path) -> bool:
    try:
        reach(path).close()
    except OSError:
        return False
    return True


def reach(path: Path) -> socket.socket:
    """Connect to a gatekeeper's socket, at a path of any length.

    Raises:
        OSError: nobody is there.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        link.connect(f"/proc/self/fd/{directory}/{path.name}")
    except BaseException:
        link.close()
        raise
    finally:
        os.close(directory)
    return link


def _unit(path: Path) -> socket.socket:
    try:
        return reach(path)
    except OSError as error:
        raise DeviceUnavailable(
            f"no gatekeeper at {path}: {error.strerror}; is idgate-gatekeeper.service running, "
            "and is this user in its group?"
        ) from None


def _own(directory: Path) -> socket.socket:
    """Reach the gatekeeper of this state, starting it where there is none."""
    try:
        return reach(directory / SOCKET_FILE)
    except OSError:
        _start(directory)
    try:
        return reach(directory / SOCKET_FILE)
    except OSError as error:
        raise DeviceUnavailable(f"the gatekeeper is gone again: {error.strerror}") from None


def _start(directory: Path) -> None:
    """Start a gatekeeper; it goes to the background when it listens.

    Raises:
        DeviceUnavailable: it does not start; the message is its own.
    """
    command = [*_command(directory), "--leave"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd="/", timeout=_START_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceUnavailable(f"the gatekeeper does not start: {error}") from None
    if done.returncode:
        said = _said(done.stderr)
        raise DeviceUnavailable(said or f"the gatekeeper does not start: exit {done.returncode}")


def _command(directory: Path) -> list[str]:
    root = str(Path(agent.__file__).resolve().parent.parent)
    return [sys.executable, "-I", "-c", _RUN, root, "--state", str(directory)]


def _said(error: bytes) -> str:
    """Return what a gatekeeper that does not start said, for a line of our own."""
    return error.decode(errors="replace").strip().removeprefix("gatekeeper: ")


# --- without a daemon


def make_gate_safe(path: Path) -> list[str]:
    """Close a gate that nobody decides for; works without usable settings.

    A gatekeeper that lives does it itself; otherwise the pins of the kept map are driven inactive,
    whatever the settings say now, and those of the settings only where no map was ever kept.

    Args:
        path: the settings file, which may be broken or gone.

    Returns:
        a line for each thing done.

    Raises:
        ConfigError: the settings cannot be used, and no map was made of them.
        DeviceUnavailable: a daemon decides for this gate, or the lines are not to be had.
    """
    config: Config | None = None
    wrong: ConfigError | None = None
    try:
        config = load(path)
    except ConfigError as error:
        wrong = error
    done: list[str] = []
    if config is not None and config.gpio.gatekeeper:
        # Its map is for its own eyes; its socket is for whoever may decide.
        done = _close_by_gatekeeper(config.path(config.gpio.gatekeeper))
    for directory in () if done else _places(path, config):
        where = directory if directory != UNIT_DIR else UNIT_RUN_DIR
        done += _close_by_gatekeeper(where / SOCKET_FILE) or _close_by_map(directory)
    if done:
        return done
    if config is None:
        assert wrong is not None
        raise wrong
    return _close(pin_map(config))


def _places(path: Path, config: Config | None) -> Iterator[Path]:
    """Yield the directories in which the gatekeeper of a settings file keeps its map."""
    # `Path.resolve` raises a RuntimeError of links that lead in a circle, before Python 3.13.
    resolved = Path(os.path.realpath(path))
    if config is not None and not config.gpio.gatekeeper:
        yield gatekeeper_dir(config)
        return
    for kept in (UNIT_DIR / MAP_FILE, *resolved.parent.glob(f"*/gatekeeper/{MAP_FILE}")):
        made, _ = load_map(kept)
        if made is not None and made.settings == str(resolved):
            yield kept.parent


def _close_by_gatekeeper(path: Path) -> list[str]:
    """Let the gatekeeper close, where one listens."""
    try:
        link = reach(path)
    except OSError:
        return []
    end_session(link)
    return ["the gatekeeper lives and has closed the gate; fire, release and free passage work on"]


def _close_by_map(directory: Path) -> list[str]:
    kept, _ = load_map(directory / MAP_FILE)
    return [] if kept is None else _close(kept)


def _close(kept: PinMap) -> list[str]:
    names = {pin: name for name, pin in kept.pins.items()}
    return [
        f"{names[pin]} (GPIO{pin}): inactive, then let go"
        for pin in make_safe(make_gpio(kept), kept)
    ]
