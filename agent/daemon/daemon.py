"""Runs one gate: starts the parts of `agent.daemon.assembly`, watches them, shuts them down.

Threads: `camera-*` (frames in, codes out), `engine` (payloads in, codes out), `decide` (the passage
machine), the gate's own I/O, `face` and `finger` (one check at a time), `trust`, the reporter's,
`board` (how it is), and this one, which watches all.

Rules:
- READY is said when a code shown now would be judged. The ready output is lit while a grant could
  be recorded too, and a camera sees or an engine reads: nothing opens unrecorded, and whoever looks
  at the gate shall see that.
- A lost thread, a dead gate or a loop that stands still ends the daemon (`Exit.FAULT`); the service
  manager starts it anew. The watchdog is fed only while every loop goes round.
- Stopping: nothing new is begun, what is open ends in its defined way, and every pin is left safe.
- Reload (SIGHUP) reads trust and profile again; what cannot be used leaves the old one in force,
  and the journal says so. Settings desired by the fleet are checked, kept, and brought into force
  by a restart of the parts (`Exit.RESTART`) while nobody is in the gate.
- Each step of a start or a stop tells the service manager how long it may take (`STOP_LIMITS_S`).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from agent import log
from agent.biometrics.photo import START_S as PHOTO_START_S
from agent.controller.ports import JournaledEvent
from agent.controller.unfinished import end_unfinished
from agent.credential import registry
from agent.daemon.assembly import assemble, objection
from agent.daemon.engine import ENGINE_STUCK_S
from agent.daemon.expiry import ends
from agent.daemon.hardware import Hardware
from agent.daemon.health import Health
from agent.daemon.log_watch import LogWatch
from agent.daemon.outlook import Outlook, no_issuer
from agent.daemon.reporting import CommandHandlers, Reporting
from agent.daemon.threads import ThreadGroup
from agent.exits import Exit
from agent.gate.gate import ANSWER_S
from agent.journal import events
from agent.journal.journal import RESERVE, JournalError, JournalFull
from agent.passage.types import Phase, Signal
from agent.reason import Reason
from agent.report.topics import GateAddress
from agent.sandbox.process import REPLY_PATIENCE_S
from agent.scan.scanner import ScanError
from agent.settings.model import Config, ConfigError, MqttConfig
from agent.trust.model import OperatorKey, TrustError
from hal.service_manager import STEP_S, ServiceManager

__all__ = ["STOP_LIMITS_S", "Daemon", "forbid_core_dumps"]

POLL_S = 0.2
STUCK_S = 8.0
"""A loop that did not go round for so long is stuck; a patient camera's may take longer."""
SPARE_ROWS = 256
"""Places kept free without a fleet: more than can be written between two looks."""
RESTART_AFTER_S = 1.0
"""Time for the answer to reach the fleet."""
JOIN_S = 3.0
"""How long all threads together may take to end."""
REPORTER_S = 5.0
"""How long the reporter's connection, and after it its commands, may take to end."""
STOP_LIMITS_S: Final = {
    "threads": JOIN_S,
    "reporter": 2 * REPORTER_S,
    "gate": 2 * ANSWER_S,  # its thread, then the gatekeeper's answer
    "decoder": 5.0 + REPLY_PATIENCE_S,  # a picture's longest deadline, then the end of the stem
    "devices": 5.0,  # closed, not waited for; a camera's driver may hang in it
    "disk": 10.0,  # the clock's memory and the journal's last page, on a slow card
}
"""How long each step of a stop may take, s, in order; one that takes longer ends by SIGKILL."""
STOP_GRACE_S = 2.0
"""What a step may be late by: the limits are those of waits within it."""

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
        stop: ends the daemon when set; of a process whose daemons follow one another.
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
        stop: threading.Event | None = None,
        observe: Callable[[JournaledEvent], None] | None = None,
    ) -> None:
        self._service = service or ServiceManager({})
        self._stop = stop or threading.Event()
        self._reload = threading.Event()
        self._restart_at: float | None = None
        self._threads = ThreadGroup()
        self._reporting: Reporting | None = None
        self._shut = False
        self._ready = False
        self._broker_until: float | None = None
        self._loading = False
        try:
            self.parts = assemble(
                config,
                hardware,
                respond=self._respond,
                apply=self._apply,
                observe=observe,
                step=self._service.step,
            )
        except BaseException:
            hardware.close()
            raise
        self.health = Health(self.parts, time.time())
        self._log_watch = LogWatch(self.parts.faults)
        self._outlook = Outlook(self.parts.faults)
        self._loops = [
            _LoopProgress("decide", lambda: self.parts.controller.rounds),
            _LoopProgress("gate", lambda: self.parts.gate.health().polls),
        ]
        for camera, loop in zip(self.parts.config.camera, self.parts.camera_loops, strict=True):
            rounds = lambda loop=loop: loop.rounds  # noqa: E731
            self._loops.append(
                _LoopProgress(camera.name, rounds, _camera_stuck_s(camera.timeout_s))
            )
        if (engine := self.parts.engine_loop) is not None:
            self._loops.append(_LoopProgress("engine", lambda: engine.rounds, ENGINE_STUCK_S))

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every thread; returns when a code shown now would be judged.

        Raises:
            HalError, ScanError, PhotoError: a part does not start; everything is shut down again.
        """
        try:
            self._begin()
        except BaseException:
            self.shutdown()
            raise

    def run(self) -> Exit:
        """Start, serve until told to stop, shut down; return the exit code."""
        self.start()
        if not self._stop.is_set():
            self._service.ready()
            gate = self.parts.config.gate
            _log.info("ready", site=gate.site, gate=gate.gate)
        code = Exit.FAULT
        try:
            code = self._serve()
        finally:
            if code is Exit.RESTART:
                # The process goes on: a service that said that it stops would be killed for it.
                self._service.reloading()
            else:
                self._service.stopping()
            self.shutdown()
        return code

    def stop(self) -> None:
        """Ask the daemon to stop, also in its start; from any thread, and not from a handler."""
        self._stop.set()
        scanner = self.parts.scanner
        if self._loading and scanner is not None and (stem := scanner.stem_pid):
            os.kill(stem, signal.SIGKILL)  # who waits for it holds the scanner's lock

    def reload(self) -> None:
        """Ask for profile and trust to be read again; from any thread, and not from a handler."""
        self._reload.set()

    def shutdown(self) -> None:
        """Stop every part in order, whatever one of them raises; may be called twice."""
        if self._shut:
            return
        self._shut = True
        parts = self.parts
        stops: dict[str, list[Callable[[], object]]] = {
            "threads": [loop.stop for loop in parts.camera_loops],
            "reporter": [],
            "gate": [parts.gate.stop],
            "decoder": [] if parts.scanner is None else [parts.scanner.close],
            "devices": [parts.biometrics.close, parts.hardware.close],
            "disk": [self._save_clock, parts.journal.close],
        }
        if parts.engine_loop is not None:
            stops["threads"].append(parts.engine_loop.stop)
        stops["threads"] += [
            parts.board.stop,
            parts.controller.stop,
            parts.checks.close,
            parts.trust.stop,
        ]
        stops["threads"].append(self._join_threads)
        if self._reporting is not None:
            stops["reporter"].append(partial(self._reporting.close, REPORTER_S))
        with ExitStack() as last:
            for name, limit_s in reversed(STOP_LIMITS_S.items()):
                for stop in reversed(stops[name]):
                    last.callback(stop)
                last.callback(self._service.step, f"stopping: {name}", limit_s + STOP_GRACE_S)

    def _join_threads(self) -> None:
        left = self._threads.join(JOIN_S)
        if left:
            _log.warning("threads did not end", threads=left)

    def _save_clock(self) -> None:
        try:
            self.parts.guard.flush(force=True)
        except OSError as error:
            _log.warning("the clock's memory was not saved", fault=error)

    def _begin(self) -> None:
        parts = self.parts
        self._service.step("starting the gate")
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
        self._threads.start("decide", parts.controller.run)
        for modality in parts.checks.modalities:
            self._threads.start(modality.value, partial(parts.checks.run, modality))
        registry.load_all()  # while the decoder's process loads
        start_s = parts.config.scan.start_s
        self._service.step("loading the decoder", start_s + STEP_S)
        if not self._load_decoder(start_s):
            return
        self._service.step("loading the photo decoder", PHOTO_START_S + STEP_S)
        parts.biometrics.wait_ready()
        self._service.step("starting cameras, trust and reporter")
        for loop, camera in zip(parts.camera_loops, parts.hardware.cameras, strict=True):
            self._threads.start(f"camera-{camera.name}", loop.run)
        if parts.engine_loop is not None:
            self._threads.start("engine", parts.engine_loop.run)
        parts.trust.start(self._threads)
        self._threads.start("board", parts.board.run)
        if parts.config.mqtt is not None:
            self._reporting = self._report_to(parts.config.mqtt)
            self._reporting.start()
        self._show_ready()

    def _load_decoder(self, start_s: float) -> bool:
        """Wait for the decoder; return False where the daemon is to stop instead.

        Raises:
            ScanError: it does not start.
        """
        scanner = self.parts.scanner
        self._loading = True
        try:
            if scanner is not None and not self._stop.is_set():
                scanner.wait_ready(start_s)
        except ScanError:
            if not self._stop.is_set():
                raise
        finally:
            self._loading = False
        return not self._stop.is_set()

    def _serve(self) -> Exit:
        every = min(self._service.watchdog_s or 2 * POLL_S, 2.0) / 2
        fed_at = 0.0
        while not self._stop.wait(POLL_S):
            if self._threads.lost.is_set() or self.parts.gate.dead.is_set():
                _log.error("stopping", why=self._threads.why or self.parts.gate.health().error)
                return Exit.FAULT
            now = time.monotonic()
            if self._stuck(now):
                return Exit.FAULT
            if now - fed_at >= every:
                self._service.alive()
                fed_at = now
            self._housekeep()
            if self._restart_due(now):
                return Exit.RESTART
        return Exit.DONE

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
        faults = self.parts.faults
        try:
            self.parts.guard.flush()
        except OSError as error:
            faults.begin("clock", "not_saved", error.strerror or "")
        else:
            faults.end("clock", "not_saved")
        if self.parts.gate.health().not_saved:
            faults.begin("mode", "not_saved", "the gatekeeper's disk does not take it")
        else:
            faults.end("mode", "not_saved")
        if why := self.parts.desired.refused_by_disk:
            faults.begin("config", "not_saved", why)
        else:
            faults.end("config", "not_saved")
        self.parts.desired.retry()
        self._look_at_dates()
        self._log_watch.look(log.health())
        self._look_out(time.monotonic())
        if self.parts.config.mqtt is None:
            self._forget_oldest()
        self._show_ready()

    def _look_at_dates(self) -> None:
        expiry, parts, monotonic = self.health.expiry, self.parts, time.monotonic()
        seen = None if self._reporting is None else self._reporting.reporter.broker_until
        now = parts.clock.believed_wall()
        if now is not None and (expiry.due(monotonic) or seen != self._broker_until):
            self._broker_until = seen
            found = ends(parts.config, parts.trust.snapshot, broker_until=seen).values()
            expiry.look(found, now=now, monotonic=monotonic)

    def _look_out(self, now: float) -> None:
        """Tell what would keep everybody out."""
        if not self._outlook.due(now):
            return
        parts = self.parts
        why = no_issuer(
            parts.trust.snapshot.keys,
            int(parts.clock.wall()),
            clock_trusted=parts.guard.trusted,
        )
        self._outlook.look(why, parts.counters.snapshot(), now)

    def _show_ready(self) -> None:
        """Light the ready output while a code would be read and its grant could be recorded."""
        parts = self.parts
        sees = any(loop.reads_codes and not loop.blind for loop in parts.camera_loops)
        reads = sees or parts.engine_loop is not None
        ready = reads and parts.journal.has_room() and not parts.controller.journal_refuses
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
        self._service.reloading()
        self._service.step("reading profile and trust again")
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
        """Build the reporter.

        Raises:
            ConfigError: a key among the state is none.
            OSError: the disk refuses.
        """
        parts, gate = self.parts, self.parts.config.gate
        try:
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
                clock=parts.clock,
                command_memory=parts.config.state_path("commands.json"),
                modes=frozenset(parts.config.floor.modes),
                base_dir=parts.config.path(""),
                state_dir=parts.config.state_path(""),
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None
