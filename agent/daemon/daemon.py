"""Runs one gate: starts the parts of `agent.daemon.assembly`, watches them, shuts them down.

Threads: `camera-*` (frames in, codes out), `decide` (the passage machine), the gate's own I/O,
`face` and `finger` (one check at a time), `trust`, the reporter's, `board` (how it is), and this
one, which watches all.

Rules:
- READY is said when a code shown now would be judged. The ready output is lit while a grant could
  be recorded too, and a camera sees: nothing opens unrecorded, and whoever looks at the gate shall
  see that.
- A lost thread, a dead gate or a loop that stands still ends the daemon with exit code 70; the
  service manager starts it anew. The watchdog is fed only while every loop goes round.
- Stopping: nothing new is begun, what is open ends in its defined way, and every pin is left safe.
- Reload (SIGHUP) reads trust and profile again; what cannot be used leaves the old one in force,
  and the journal says so. Settings desired by the fleet are checked, kept, and brought into force
  by a restart of the parts (`EXIT_RESTART`) while nobody is in the gate.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import FrameType

from agent import log
from agent.controller.ports import JournaledEvent
from agent.controller.unfinished import end_unfinished
from agent.credential import registry
from agent.daemon.assembly import assemble, objection
from agent.daemon.hardware import Hardware
from agent.daemon.health import Health
from agent.daemon.log_watch import LogWatch
from agent.daemon.notify import ServiceManager
from agent.daemon.reporting import CommandHandlers, Reporting
from agent.daemon.threads import ThreadGroup
from agent.journal import events
from agent.journal.journal import RESERVE, JournalError, JournalFull
from agent.passage.types import Phase, Signal
from agent.reason import Reason
from agent.report.topics import GateAddress
from agent.settings.model import Config, MqttConfig
from agent.trust.model import OperatorKey, TrustError

__all__ = ["EXIT_FAULT", "EXIT_RESTART", "EXIT_STOPPED", "Daemon", "forbid_core_dumps"]

EXIT_STOPPED = 0
EXIT_FAULT = 70
EXIT_RESTART = 75
POLL_S = 0.2
STUCK_S = 8.0
"""A loop that did not go round for so long is stuck; a patient camera's may take longer."""
SPARE_ROWS = 256
"""Places kept free without a fleet: more than can be written between two looks."""
RESTART_AFTER_S = 1.0
"""Time for the answer to reach the fleet."""

_PR_SET_DUMPABLE = 4
_log = log.get(__name__)


def forbid_core_dumps() -> None:
    """Keep pictures and templates in memory out of core files and of other processes' reach."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@dataclass(slots=True)
class _LoopProgress:
    """One loop's progress."""

    name: str
    rounds: Callable[[], int]
    stuck_s: float = STUCK_S
    seen: int = -1
    moved_at: float = 0.0


def _camera_stuck_s(timeout_s: float) -> float:
    """Return what a camera's loop may take: a capture in vain, a reopening, and one more."""
    return max(STUCK_S, 2 * timeout_s + 4.0)


class Daemon:
    """One gate, running.

    Args:
        config: the file's settings.
        hardware: what it runs on; closed by the daemon.
        service: the service manager to tell.
        observe: told of every journaled row, in the thread that wrote it.

    Raises:
        what `assemble` raises; the hardware is then closed.
    """

    def __init__(
        self,
        config: Config,
        hardware: Hardware,
        *,
        service: ServiceManager | None = None,
        observe: Callable[[JournaledEvent], None] | None = None,
    ) -> None:
        self._service = service or ServiceManager({})
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._restart_at: float | None = None
        self._threads = ThreadGroup()
        self._reporting: Reporting | None = None
        self._shut = False
        self._ready = False
        try:
            self.parts = assemble(
                config, hardware, respond=self._respond, apply=self._apply, observe=observe
            )
        except BaseException:
            hardware.close()
            raise
        self.health = Health(self.parts, time.time())
        self._log_watch = LogWatch(self.parts.faults)
        self._loops = [
            _LoopProgress("decide", lambda: self.parts.controller.rounds),
            _LoopProgress("gate", lambda: self.parts.gate.health().polls),
        ]
        for camera, loop in zip(self.parts.config.camera, self.parts.camera_loops, strict=True):
            rounds = lambda loop=loop: loop.rounds  # noqa: E731
            self._loops.append(
                _LoopProgress(camera.name, rounds, _camera_stuck_s(camera.timeout_s))
            )

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every thread; returns when a code shown now would be judged.

        Raises:
            HalError, ScanError: a part does not start; everything is shut down again.
        """
        try:
            self._begin()
        except BaseException:
            self.shutdown()
            raise

    def run(self) -> int:
        """Start, serve until told to stop, shut down; return the exit code."""
        self.start()
        self._service.ready()
        gate = self.parts.config.gate
        _log.info("ready", site=gate.site, gate=gate.gate)
        try:
            return self._serve()
        finally:
            self._service.stopping()
            self.shutdown()

    def stop(self, *_signal: int | FrameType | None) -> None:
        """Ask the daemon to stop; may be a signal handler."""
        self._stop.set()

    def reload(self, *_signal: int | FrameType | None) -> None:
        """Ask for profile and trust to be read again; may be a signal handler."""
        self._reload.set()

    def handle_signals(self) -> None:
        """Make SIGTERM and SIGINT stop and SIGHUP reload; for the main thread."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        signal.signal(signal.SIGHUP, self.reload)

    def shutdown(self) -> None:
        """Stop every part in order, whatever one of them raises; may be called twice."""
        if self._shut:
            return
        self._shut = True
        parts = self.parts
        steps = [loop.stop for loop in parts.camera_loops]
        steps.append(parts.board.stop)
        steps += [parts.controller.stop, parts.checks.close, parts.trust.stop, self._join_threads]
        if self._reporting is not None:
            steps.append(self._reporting.close)
        steps += [parts.gate.stop, parts.scanner.close, parts.biometrics.close]
        steps += [parts.hardware.close, self._save_clock, parts.journal.close]
        with ExitStack() as last:
            for step in reversed(steps):
                last.callback(step)

    def _join_threads(self) -> None:
        left = self._threads.join(3.0)
        if left:
            _log.warning("threads did not end", threads=left)

    def _save_clock(self) -> None:
        try:
            self.parts.guard.flush(force=True)
        except OSError as error:
            _log.warning("the clock's memory was not saved", fault=error)

    def _begin(self) -> None:
        parts = self.parts
        mode = parts.controller.state.mode
        try:
            parts.journal.append(events.Mode(mode=mode.value, cause="start"))
        except JournalFull as error:
            # A gate that does not start cannot hand over what it waits to be rid of.
            _log.error("no room to record the start", fault=error)
        if parts.volatile:
            _log.warning("a power cut forgets every used code", state=parts.volatile)
        if end_unfinished(parts.journal):
            _log.warning("the last run ended in the middle of a passage")
        parts.gate.start()
        self._threads.start("decide", parts.controller.run)
        for modality in parts.checks.modalities:
            self._threads.start(modality.value, partial(parts.checks.run, modality))
        registry.load_all()  # while the decoder's process loads
        parts.scanner.wait_ready()
        for loop, camera in zip(parts.camera_loops, parts.hardware.cameras, strict=True):
            self._threads.start(f"camera-{camera.name}", loop.run)
        parts.trust.start(self._threads)
        self._threads.start("board", parts.board.run)
        if parts.config.mqtt is not None:
            self._reporting = self._report_to(parts.config.mqtt)
            self._reporting.start()
        self._show_ready()

    def _serve(self) -> int:
        every = min(self._service.watchdog_s or 2 * POLL_S, 2.0) / 2
        fed_at = 0.0
        while not self._stop.wait(POLL_S):
            if self._threads.lost.is_set() or self.parts.gate.dead.is_set():
                _log.error("stopping", why=self._threads.why or self.parts.gate.health().error)
                return EXIT_FAULT
            now = time.monotonic()
            if self._stuck(now):
                return EXIT_FAULT
            if now - fed_at >= every:
                self._service.alive()
                fed_at = now
            self._housekeep()
            if self._restart_due(now):
                return EXIT_RESTART
        return EXIT_STOPPED

    def _stuck(self, now: float) -> bool:
        """Return whether a loop stood still for too long."""
        for loop in self._loops:
            rounds = loop.rounds()
            if rounds != loop.seen:
                loop.seen, loop.moved_at = rounds, now
            elif now - loop.moved_at > loop.stuck_s:
                _log.error("a loop stands still", loop=loop.name)
                return True
        return self._reporting is not None and not self._reporting.reporter.health().alive

    def _restart_due(self, now: float) -> bool:
        if self._restart_at is None or now < self._restart_at:
            return False
        return self.parts.controller.state.phase is Phase.IDLE

    def _housekeep(self) -> None:
        if self._reload.is_set():
            self._reload.clear()
            self.reload_now()
        for part, flush in (("clock", self.parts.guard.flush), ("mode", self.parts.mode.flush)):
            try:
                flush()
            except OSError as error:
                self.parts.faults.begin(part, "not_saved", error.strerror or "")
            else:
                self.parts.faults.end(part, "not_saved")
        if why := self.parts.desired.refused_by_disk:
            self.parts.faults.begin("config", "not_saved", why)
        else:
            self.parts.faults.end("config", "not_saved")
        self._log_watch.look(log.health())
        if self.parts.config.mqtt is None:
            self._forget_oldest()
        self._show_ready()

    def _show_ready(self) -> None:
        """Light the ready output while a code would be seen and its grant could be recorded."""
        parts = self.parts
        sees = any(loop.reads_codes and not loop.blind for loop in parts.camera_loops)
        ready = sees and parts.journal.has_room() and not parts.controller.journal_refuses
        if ready != self._ready:
            self._ready = ready
            parts.gate.ready(ready)

    def _forget_oldest(self) -> None:
        """Make room where there is no fleet that could acknowledge: the newest rows are kept."""
        journal, capacity = self.parts.journal, self.parts.config.journal.capacity
        if journal.unacknowledged() <= capacity - RESERVE - SPARE_ROWS:
            return
        oldest = journal.boots()[0]
        try:
            journal.acknowledge(
                oldest.boot_id, min(oldest.last_seq, oldest.acknowledged + SPARE_ROWS)
            )
        except JournalError as error:
            self.parts.faults.begin("journal", "not_freed", str(error))
        else:
            self.parts.faults.end("journal", "not_freed")

    # -- changes while running -----------------------------------------------------------------

    def reload_now(self) -> str:
        """Read profile and trust again; return what was wrong, empty for nothing."""
        self._service.reloading(time.monotonic_ns() // 1000)
        wrong = ""
        try:
            self.parts.trust.reload()  # the profile follows each new snapshot
        except TrustError as error:
            wrong = str(error)
            _log.error("reload refused, what was believed before stays", fault=wrong)
            self.parts.faults.begin("config", "reload_refused", wrong)
        else:
            wrong = self.parts.active_profile.wrong
            _log.info("reloaded", trust=self.parts.trust.snapshot.version)
            self.parts.faults.end("config", "reload_refused")
        self._service.ready()
        return wrong

    def _apply(self, config: Config) -> str:
        """Take settings that the fleet desires; they are in force after the restart."""
        wrong = objection(self.parts, config)
        if not wrong:
            self._restart_at = time.monotonic() + RESTART_AFTER_S
        return wrong

    def _respond(self, transaction: str, done: bool, reason: Reason | None) -> None:
        if self._reporting is not None:
            self._reporting.respond(transaction, done=done, reason=reason)

    def _operator(self, kid: bytes) -> OperatorKey | None:
        return self.parts.trust.snapshot.operator(kid)

    def _report_to(self, mqtt: MqttConfig) -> Reporting:
        parts, gate = self.parts, self.parts.config.gate
        return Reporting(
            mqtt,
            parts.journal,
            GateAddress(gate.site, gate.gate),
            health=self.health,
            handlers=CommandHandlers(
                post=parts.controller.post,
                update=parts.trust.nudge,
                reload=self.reload_now,
                identify=lambda: parts.gate.signal(Signal.ALARM),
                operator=self._operator,
            ),
            desired=parts.desired,
            clock=parts.clock.wall,
            base_dir=parts.config.path(""),
        )
