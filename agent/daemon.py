"""The composition root: builds the parts of one gate, runs them, shuts them down.

Threads: `camera-*` (frames in, codes out), `decide` (the passage machine), the gate's own I/O,
`face` and `finger` (one check at a time), the reporter's, and this one, which watches them all.

Rules:
- Start order: what can fail without touching hardware first; the gate's pins before the cameras;
  READY is said when a code shown now would be judged.
- A lost thread, a dead gate or a stuck one ends the daemon with exit code 70; the service manager
  starts it anew. The watchdog is fed only when every loop went round since the last time.
- Stopping: nothing new is begun, what is open ends in its defined way, and every pin is left safe.
- Reload (SIGHUP) reads the profile and the trust again; if either cannot be used, the old ones stay
  and the journal says so.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from agent import __version__, log
from agent.biometric_parts import build_checks
from agent.checks import Checks
from agent.clock import ClockGuard
from agent.clocks import SystemClock
from agent.config import Config, ConfigError, MqttConfig
from agent.controller import Controller, Observation, Parts
from agent.credential.model import Modality
from agent.gate import Gate
from agent.gate_cards import make_card_output
from agent.gate_mode import load_mode, save_mode
from agent.hardware import Hardware
from agent.journal import Journal, JournalError
from agent.memory import JournalMemory
from agent.notify import ServiceManager
from agent.passage_types import Rules, Signal
from agent.place import place_of
from agent.policy import Ask, ProfileError
from agent.reason import Reason
from agent.records import Recorder
from agent.report import events
from agent.report.payloads import GateInfo, GateState
from agent.report.subjects import SubjectHasher, load_or_create_key
from agent.report.topics import GateAddress
from agent.reporting import Deeds, Reporting
from agent.scan import Incident, Scanner
from agent.tally import Tally
from agent.threads import Crew
from agent.trust.model import OperatorKey, TrustError
from agent.trust.store import TrustStore
from agent.verify import Judge
from agent.watcher import FaceFeed, Watcher

__all__ = ["EXIT_FAULT", "EXIT_STOPPED", "Daemon", "forbid_core_dumps"]

EXIT_STOPPED = 0
EXIT_FAULT = 70
POLL_S = 0.2
STUCK_S = 8.0
"""A loop that did not go round for so long is stuck; the camera's recovery takes less."""

_PR_SET_DUMPABLE = 4
_log = log.get(__name__)


def forbid_core_dumps() -> None:
    """Keep pictures and templates in memory out of core files and of other processes' reach."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@dataclass(slots=True)
class _Beat:
    """One loop's progress, for the watchdog."""

    turns: Callable[[], int]
    seen: int = -1
    moved_at: float = 0.0


class Daemon:
    """One gate.

    Args:
        config: its settings.
        hardware: what it runs on; closed by the daemon.
        service: the service manager to tell.
        observe: told of every journaled row, in the deciding thread.

    Raises:
        ConfigError, ProfileError, TrustError, JournalError, ScanError, HalError: it cannot start;
            the message is one line, and the hardware is closed.
    """

    def __init__(
        self,
        config: Config,
        hardware: Hardware,
        *,
        service: ServiceManager | None = None,
        observe: Callable[[Observation], None] | None = None,
    ) -> None:
        self.config = config
        self._hardware = hardware
        self._service = service or ServiceManager({})
        self._listener = observe
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._crew = Crew()
        self._tally = Tally()
        self._started_at = time.time()
        self._reporting: Reporting | None = None
        config.state_path("").mkdir(parents=True, exist_ok=True)
        self.guard = ClockGuard(
            config.state_path("clock.json"),
            demand_source=config.trust.clock_source == "confirmed",
        )
        self.clock = SystemClock(self.guard)
        self.trust = TrustStore(config, clock=self.clock.wall)
        place = place_of(config, self.trust.snapshot)
        self.journal = Journal.open(
            config.state_path(config.journal.path), capacity=config.journal.capacity
        )
        key = load_or_create_key(config.state_path(config.journal.subject_key_file))
        self.hasher = SubjectHasher(key, rotate_daily=config.journal.rotate_subjects)
        self.feed = FaceFeed()
        self.checks = Checks(
            build_checks(config, self.feed), post=self._post_check, on_fault=self._check_fault
        )
        self._require(place.profile.biometric, place.profile.name)
        memory = JournalMemory(
            self.journal,
            self.hasher,
            zone=config.gate.zone,
            passback_s=place.profile.anti_passback_s,
            failures=config.gate.lockout_failures,
            enrolled=lambda _subject: False,
        )
        self.judge = Judge(place, timer=time.perf_counter_ns, memory=memory)
        self.gate = Gate(
            hardware.gpio,
            config.gpio,
            config.gate,
            self._post_input,
            card_output=make_card_output(
                config.gpio, hardware.gpio, config.path(""), self._show_answer
            ),
        )
        self.scanner = Scanner(config.scan, self._scan_incident)
        mode_path = config.state_path("mode")
        self.controller = Controller(
            Parts(
                judge=self.judge,
                trust=lambda: self.trust.snapshot,
                clock=self.clock,
                journal=self.journal,
                hasher=self.hasher,
                gate=self.gate,
                checks=self.checks,
                recorder=Recorder(
                    boot_id=self.journal.boot_id,
                    profile=place.profile.name,
                    zone=config.gate.zone,
                ),
                respond=self._respond,
                save_mode=lambda mode: save_mode(mode_path, mode),
                observe=self._observe,
                journal_full=config.gate.journal_full,
            ),
            Rules.of(config.gate, config.gpio),
            load_mode(mode_path),
        )
        self.watchers = [
            Watcher(
                camera,
                scanner=self.scanner if settings.serves != "face" else None,
                feed=self.feed if settings.serves != "code" else None,
                post=self.controller.post,
                timeout_s=settings.timeout_s,
            )
            for camera, settings in zip(hardware.cameras, config.camera, strict=True)
        ]
        self._beats = [
            _Beat(lambda: self.controller.turns),
            _Beat(lambda: self.gate.health().polls),
            *(_Beat(lambda watcher=watcher: watcher.turns) for watcher in self.watchers),  # type: ignore[misc]
        ]

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

    def _begin(self) -> None:
        self._record_start()
        self.gate.start()
        self._crew.start("decide", self.controller.run)
        for modality in self.checks.modalities:
            self._crew.start(modality.value, lambda modality=modality: self.checks.run(modality))  # type: ignore[misc]
        self.scanner.wait_ready()
        for watcher, camera in zip(self.watchers, self._hardware.cameras, strict=True):
            self._crew.start(f"camera-{camera.name}", watcher.run)
        self.trust.start(self._crew)
        if self.config.mqtt is not None:
            self._reporting = self._report_to(self.config.mqtt)
            self._reporting.start()
        self.gate.ready(True)

    def run(self) -> int:
        """Start, serve until told to stop, shut down; return the exit code."""
        self.start()
        self._service.ready()
        _log.info("ready", site=self.config.gate.site, gate=self.config.gate.gate)
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

    def _serve(self) -> int:
        every = min(self._service.watchdog_s or 2 * POLL_S, 2.0) / 2
        fed_at = 0.0
        while not self._stop.wait(POLL_S):
            if self._crew.lost.is_set() or self.gate.dead.is_set():
                _log.error("stopping", why=self._crew.why or self.gate.health().error)
                return EXIT_FAULT
            now = time.monotonic()
            if self._stuck(now):
                return EXIT_FAULT
            if now - fed_at >= every:
                self._service.alive()
                fed_at = now
            self._housekeep()
        return EXIT_STOPPED

    def _stuck(self, now: float) -> bool:
        """Return whether a loop stood still for too long."""
        for beat in self._beats:
            turns = beat.turns()
            if turns != beat.seen:
                beat.seen, beat.moved_at = turns, now
            elif now - beat.moved_at > STUCK_S:
                _log.error("a loop stands still", turns=turns)
                return True
        return False

    def _housekeep(self) -> None:
        if self._reload.is_set():
            self._reload.clear()
            self.reload_now()
        try:
            self.guard.flush()
        except OSError as error:
            self._fault("clock", "not_saved", detail=error.strerror or "")

    def reload_now(self) -> str:
        """Read profile and trust again; return what was wrong, empty for nothing."""
        self._service.reloading(time.monotonic_ns() // 1000)
        wrong = ""
        try:
            self.trust.reload()
            place = place_of(self.config, self.trust.snapshot)
            self._require(place.profile.biometric, place.profile.name)
            self.judge.place = place
        except (TrustError, ProfileError, ConfigError) as error:
            wrong = str(error)
            _log.error("reload refused, what was believed before stays", fault=wrong)
        else:
            _log.info("reloaded", trust=self.trust.snapshot.version)
        self._fault("config", "reload_refused", active=bool(wrong))
        self._service.ready()
        return wrong

    def shutdown(self) -> None:
        """Stop every part in order; may be called twice."""
        for watcher in self.watchers:
            watcher.stop()
        self.controller.stop()
        self.checks.close()
        self.trust.stop()
        left = self._crew.join(3.0)
        if left:
            _log.warning("threads did not end", threads=left)
        if self._reporting is not None:
            self._reporting.close()
            self._reporting = None
        self.gate.stop()
        self.scanner.close()
        self._hardware.close()
        try:
            self.guard.flush(force=True)
        except OSError as error:
            _log.warning("the clock's memory was not saved", fault=error)
        self.journal.close()

    # -- what the parts tell -------------------------------------------------------------------

    def _post_input(self, event: object) -> None:
        # The gate's thread never waits: it keeps what the controller cannot take.
        self.controller.post(event, timeout_s=0.0)  # type: ignore[arg-type]

    def _show_answer(self, answer: Signal) -> None:
        """Show what an access controller behind the gate answered."""
        self.gate.signal(answer)

    def _post_check(self, event: object) -> None:
        self.controller.post(event)  # type: ignore[arg-type]

    def _observe(self, observation: Observation) -> None:
        self._tally.observe(observation)
        if self._listener is not None:
            self._listener(observation)

    def _respond(self, transaction: str, done: bool, reason: Reason | None) -> None:
        if self._reporting is not None:
            self._reporting.respond(transaction, done=done, reason=reason)

    def _scan_incident(self, incident: Incident) -> None:
        self._fault("scan", incident.kind.value, detail=incident.detail, count=incident.total)

    def _check_fault(self, modality: Modality, word: str) -> None:
        self._fault(modality.value, "failed", detail=word)

    def _fault(
        self, part: str, code: str, *, active: bool = True, detail: str = "", count: int = 1
    ) -> None:
        """Journal a fault once, and its end once."""
        word = f"{part}:{code}"
        if not active and word not in self._tally.snapshot().faults:
            return
        event = events.Fault(part=part, code=code, active=active, detail=detail[:200], count=count)
        self._tally.fault(event)
        try:
            seq = self.journal.append(event)
        except JournalError as error:
            _log.error("a fault could not be journaled", part=part, code=code, fault=error)
            return
        if self._listener is not None:
            self._listener(Observation(seq, event, None))

    def _report_to(self, mqtt: MqttConfig) -> Reporting:
        config = self.config
        return Reporting(
            mqtt,
            self.journal,
            GateAddress(config.gate.site, config.gate.gate),
            info=self.info,
            state=self.state,
            metrics=self.metrics,
            deeds=Deeds(
                post=self.controller.post,
                update=self.trust.nudge,
                reload=self.reload_now,
                identify=lambda: self.gate.signal(Signal.ALARM),
                operator=self._operator,
            ),
            clock=self.clock.wall,
            base_dir=config.path(""),
        )

    def _operator(self, kid: bytes) -> OperatorKey | None:
        return self.trust.snapshot.operator(kid)

    # -- what the reporter asks ----------------------------------------------------------------

    def info(self) -> GateInfo:
        """Return what this gate is."""
        config, trust = self.config, self.trust.snapshot
        return GateInfo(
            version=__version__,
            site=config.gate.site,
            gate=config.gate.gate,
            profile=self.judge.place.profile.name,
            direction=config.gate.direction,
            boot_id=self.journal.boot_id,
            started_at=round(self._started_at, 3),
            drivers={
                "gpio": config.gpio.driver,
                **{f"camera-{camera.name}": camera.driver for camera in config.camera},
                **({"finger": config.finger.driver} if config.finger else {}),
            },
            trust_version=trust.version,
            trust_updated_at=trust.updated_at,
            commands=config.mqtt is not None and config.mqtt.commands,
        )

    def state(self) -> GateState:
        """Return how the gate is."""
        counts = self._tally.snapshot()
        health = self.gate.health()
        faults = list(counts.faults)
        if not self.guard.trusted:
            faults.append("clock:untrusted")
        return GateState(
            mode=self.controller.state.effective.value,
            barrier="open" if health.relay_on else "closed",
            health="failed" if not health.alive else ("degraded" if faults else "ok"),
            fire=health.fire,
            tamper=health.tamper,
            clock_trusted=self.guard.trusted,
            trust_age_s=self.trust.age().age_s,
            granted=counts.granted,
            denied=counts.denied,
            passages=counts.passages,
            last_decision=counts.last_decision,
            last_reason=counts.last_reason,
            latency_ms=counts.latency_ms,
            faults=tuple(faults),
        )

    def metrics(self) -> dict[str, float]:
        """Return numbers by name."""
        counts = self._tally.snapshot()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        numbers: dict[str, float] = {
            "granted": counts.granted,
            "denied": counts.denied,
            "annulled": counts.annulled,
            "passages": counts.passages,
            "decoder_incidents": sum(self.scanner.incidents.values()),
            "sightings_dropped": self.controller.dropped,
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "max_rss_kib": usage.ru_maxrss,
        }
        numbers |= {f"denied_{reason}": count for reason, count in counts.reasons.items()}
        for name, value in (("p50", counts.latency_ms), ("p99", counts.latency_p99_ms)):
            if value is not None:
                numbers[f"latency_ms_{name}"] = value
        return numbers

    # -- helpers -------------------------------------------------------------------------------

    def _record_start(self) -> None:
        mode = self.controller.state.mode
        self.journal.append(events.Mode(mode=mode.value, cause="start"))

    def _require(self, ask: Ask, profile: str) -> None:
        """Refuse to run a place whose demand nothing fitted can answer."""
        fitted = set(self.checks.modalities)
        needed = {
            Ask.NONE: [],
            Ask.FACE: [{Modality.FACE}],
            Ask.FINGER: [{Modality.FINGER}],
            Ask.BOTH: [{Modality.FACE}, {Modality.FINGER}],
            Ask.EITHER: [{Modality.FACE, Modality.FINGER}],
        }[ask]
        for choice in needed:
            if not choice & fitted:
                tables = " or ".join(f"[{modality.value}]" for modality in sorted(choice))
                raise ConfigError(
                    f"profile {profile} asks for biometric {ask.value!r}: "
                    f"the settings need a table {tables}"
                )
