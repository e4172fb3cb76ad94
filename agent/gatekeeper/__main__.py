"""`python -m agent.gatekeeper`: the process that owns the gate's lines; its own composition root.

    --state DIR    where the mode and the last good pin map are kept
    --socket PATH  where the deciding process connects; by default in DIR
    --leave        end after the decider said bye (for one that the decider started)
    --safe         instead: drive every output of the kept map inactive, let go of it, and end

Exit 0 stopped or safe, 2 usage, 3 the lines cannot be had, 70 a line failed.
"""

from __future__ import annotations

import ctypes
import gc
import getopt
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from agent.gatekeeper.gatekeeper import make_safe
from agent.gatekeeper.kept import Scribe, load_map
from agent.gatekeeper.pinmap import PinMap
from agent.gatekeeper.server import MAP_FILE, SOCKET_FILE, Server, listen
from hal.errors import DeviceUnavailable, HalError
from hal.gpio import Gpio
from hal.service_manager import ServiceManager

__all__ = ["main", "make_gpio"]

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_PRIORITY = 20
_NICE = -15
_USAGE = "--state DIR [--socket PATH] [--leave | --safe]"


def make_gpio(pin_map: PinMap) -> Gpio:
    """Return the driver that the map names; there is no fallback.

    Raises:
        DeviceUnavailable: it cannot start here.
    """
    if pin_map.driver == "simulated":
        from hal.simulated.gpio import SimulatedGpio

        return SimulatedGpio(pins_file=Path(pin_map.device) if pin_map.device else None)
    from hal.raspberrypi.gpio import RaspberryPiGpio

    return RaspberryPiGpio()


def _go_first() -> str:
    """Ask the kernel for precedence and to keep our pages; return what it granted."""
    granted = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        granted.append("real-time priority")
    except OSError:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
            granted.append(f"nice {_NICE}")
        except OSError as error:
            granted.append(f"no precedence ({error.strerror})")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        granted.append(f"pages not locked ({os.strerror(ctypes.get_errno())})")
    else:
        granted.append("pages locked")
    return ", ".join(granted)


def _safe(directory: Path) -> int:
    pin_map, wrong = load_map(directory / MAP_FILE)
    if wrong:
        print(f"gatekeeper: {wrong}", file=sys.stderr)
    if pin_map is None:
        return 0
    names = {pin: name for name, pin in pin_map.pins.items()}
    for pin in make_safe(make_gpio(pin_map), pin_map):
        print(f"{names[pin]} (GPIO{pin}): inactive, then let go")
    return 0


def _serve(directory: Path, path: Path, *, leave: bool) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    scribe = Scribe(lambda line: print(f"gatekeeper: {line}", file=sys.stderr, flush=True))
    server = Server(
        directory,
        listen(path, 0o660),
        make_gpio,
        scribe,
        clock=time.monotonic,
        # The service manager knows the process that started us, and hears from that one.
        service=ServiceManager({}) if leave else ServiceManager(),
        leave=leave,
    )
    try:
        server.boot()
    except HalError:
        server.close()
        raise
    if leave:
        scribe.watch(partial(_look, path, path.stat().st_ino, server))
        _go_to_background()
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in ending:
        signal.signal(number, server.stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)  # the daemon that starts us blocks them
    gc.freeze()
    gc.disable()  # nothing here makes circles, and a collection would be a pause
    scribe.say(_go_first())
    scribe.start()  # with our own precedence: it holds the interpreter's lock for moments
    try:
        server.run()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # it ends, whoever says so again
        scribe.end()
    return 0


def _look(path: Path, inode: int, server: Server) -> None:
    """End a gatekeeper that cannot be reached any more; where its state is gone, in a fire too."""
    try:
        here = path.stat().st_ino
    except OSError:
        here = 0
    if not path.parent.exists():
        server.stop()
    elif here != inode:
        server.leave()


def _go_to_background() -> None:
    """Leave whoever started us, who takes our end for the word that we listen."""
    if os.fork():
        os._exit(0)
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _options(arguments: list[str]) -> list[tuple[str, str]]:
    options, rest = getopt.getopt(arguments, "", ["state=", "socket=", "leave", "safe"])
    if rest:
        raise getopt.GetoptError(f"{rest[0]!r} is no option")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the gatekeeper; return its exit code."""
    try:
        options = dict(_options(sys.argv[1:] if arguments is None else arguments))
        directory = Path(options["--state"])
    except (getopt.GetoptError, KeyError) as error:
        print(f"gatekeeper: {error}; {_USAGE}", file=sys.stderr)
        return 2
    socket_path = Path(options["--socket"]) if "--socket" in options else directory / SOCKET_FILE
    try:
        if "--safe" in options:
            return _safe(directory)
        return _serve(directory, socket_path, leave="--leave" in options)
    except DeviceUnavailable as error:
        print(f"gatekeeper: {error}", file=sys.stderr)
        return 3
    except (HalError, OSError) as error:
        print(f"gatekeeper: {error}", file=sys.stderr)
        return 70


if __name__ == "__main__":
    sys.exit(main())
