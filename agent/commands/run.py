"""`idgate run`: the daemon."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from agent.daemon.signals import SignalWatch
from agent.exits import Exit

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings")


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped; 0 stopped, 2 settings, 3 a device, disk or part is not there, 70 fault."""
    # One for all daemons, or a SIGTERM between two would be lost with the first; before anything
    # is imported that begins threads of its own, as numpy does.
    stop = threading.Event()
    signals = SignalWatch(stop)

    from agent import log
    from agent.settings.load import load
    from agent.settings.model import ConfigError

    try:
        settings = load(arguments.config)
    except ConfigError as error:
        return _refuse(signals, str(error), Exit.SETTINGS)
    log.configure(level=settings.log.level, style=settings.log.format, queued=True)
    return _run(settings, signals, stop)


def _run(settings: object, signals: SignalWatch, stop: threading.Event) -> int:
    from agent import log
    from agent.biometrics.errors import ModelError
    from agent.biometrics.photo import PhotoError
    from agent.daemon.daemon import Daemon, forbid_core_dumps
    from agent.daemon.hardware import open_hardware
    from agent.daemon.owner import require_owner
    from agent.daemon.state_directory import require_writable
    from agent.journal.journal import JournalError
    from agent.journal.subjects import SubjectKeyError
    from agent.policy.profile import ProfileError
    from agent.scan.scanner import ScanError
    from agent.settings.model import Config, ConfigError
    from agent.trust.model import TrustError
    from hal.errors import HalError
    from hal.service_manager import ServiceManager

    assert isinstance(settings, Config)
    forbid_core_dumps()
    try:
        require_owner(settings, "run ...")
        require_writable(settings.state_path(""))
        service = ServiceManager()
        code = Exit.RESTART
        while code is Exit.RESTART:
            service.step("opening cameras and pins")
            daemon = Daemon(settings, open_hardware(settings), service=service, stop=stop)
            # The fleet may have set another level than the file's.
            level = daemon.parts.config.log.level
            log.configure(level=level, style=settings.log.format, queued=True)
            signals.follow(daemon)
            code = daemon.run()
    except (ConfigError, ProfileError, TrustError, ModelError, SubjectKeyError) as error:
        return _refuse(signals, str(error), Exit.SETTINGS)
    except (HalError, JournalError, ScanError, PhotoError, OSError) as error:
        return _refuse(signals, str(error), Exit.UNAVAILABLE)
    return code


def _refuse(signals: SignalWatch, message: str, code: int) -> int:
    signals.give_back()
    print(f"idgate run: {message}", file=sys.stderr)
    return code
