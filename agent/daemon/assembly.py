"""Builds the parts of one gate out of its settings; the larger half of the composition root.

What fails is closed again in reverse order, and the message is one line for the operator. Nothing
here starts a thread but the decoders' processes, which begin to load while the rest is built.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent import log
from agent.biometrics.face.feed import FaceFeed
from agent.clock.guard import ClockGuard
from agent.clock.system import SystemClock
from agent.controller.biometric_checks import BiometricChecks, Search
from agent.controller.camera import CameraLoop
from agent.controller.controller import Controller
from agent.controller.counters import Counters
from agent.controller.engine import EngineLoop
from agent.controller.memory import JournalMemory
from agent.controller.ports import JournaledEvent, Ports
from agent.controller.records import Recorder
from agent.credential.model import Modality
from agent.daemon.active_profile import ActiveProfile
from agent.daemon.biometrics import Biometrics, build_biometrics
from agent.daemon.blind_cameras import BlindCameras
from agent.daemon.board import BoardWatch, make_board
from agent.daemon.challenge import ChallengeError, read_challenge
from agent.daemon.floor import BelowFloor, require_floor
from agent.daemon.hardware import Hardware
from agent.daemon.pins import make_card_output, pin_map
from agent.daemon.place import place_of
from agent.daemon.state_directory import volatile
from agent.daemon.unknown_keys import UnknownKeys
from agent.gate.cards import CardOutput
from agent.gate.gate import Gate
from agent.gatekeeper.kept import load_mode
from agent.gatekeeper.wire import Request
from agent.gatekeeper.words import Mode
from agent.journal import events, log_rows
from agent.journal.faults import Faults
from agent.journal.journal import Journal
from agent.journal.subjects import SubjectHasher, load_or_create_key
from agent.passage.events import BiometricDone, InputEvent, StaffFound
from agent.passage.types import Rules, Signal
from agent.policy.judge import Judge, Place
from agent.policy.profile import Ask, Profile, ProfileError
from agent.reason import Reason
from agent.report.desired import DesiredConfig
from agent.report.topics import GateAddress
from agent.sandbox.supervisor import Incident
from agent.scan.scanner import Scanner
from agent.settings.model import Config, ConfigError
from agent.trust.model import OperatorKey
from agent.trust.snapshot import TrustSnapshot
from agent.trust.store import TrustStore

_log = log.get(__name__)

__all__ = ["Assembly", "assemble", "objection", "require"]

Respond = Callable[[str, bool, Reason | None], None]


@dataclass(slots=True)
class Assembly:
    """The parts of one gate, built and not yet running.

    Attributes:
        config: the settings in force, the fleet's desired ones upon the file's.
        file_config: the file's.
        desired: what the fleet wants set.
        volatile: what the state stands on that a power cut empties, or "".
        scanner: decodes frames; None where no camera serves codes.
        engine_loop: None where no scan engine is fitted.
        others: named as their types say.
    """

    config: Config
    file_config: Config
    hardware: Hardware
    guard: ClockGuard
    clock: SystemClock
    trust: TrustStore
    desired: DesiredConfig
    journal: Journal
    faults: Faults
    counters: Counters
    biometrics: Biometrics
    checks: BiometricChecks
    judge: Judge
    active_profile: ActiveProfile
    gate: Gate
    scanner: Scanner | None
    controller: Controller
    camera_loops: list[CameraLoop]
    engine_loop: EngineLoop | None
    board: BoardWatch
    volatile: str


class _Builder:
    """Holds what callbacks need before the last part is there."""

    def __init__(
        self,
        hardware: Hardware,
        listener: Callable[[JournaledEvent], None] | None,
        step: Callable[[str], None],
    ) -> None:
        self.hardware = hardware
        self.listener = listener
        self.step = step
        self.counters = Counters()
        self.controller: Controller | None = None
        self.gate: Gate
        self.faults: Faults
        self.trust: TrustStore
        self.active_profile: ActiveProfile
        self.unknown_keys = UnknownKeys(self.unknown_key)

    def observe(self, journaled: JournaledEvent) -> None:
        self.counters.observe(journaled)
        log_rows.say(journaled.event)
        judgement = None if journaled.trace is None else journaled.trace.judgement
        if judgement is not None and isinstance(journaled.event, events.Decision):
            self.unknown_keys.met(judgement.unknown_key, str(judgement.format))
        if self.listener is not None:
            self.listener(journaled)

    def observe_fault(self, seq: int, event: events.Event) -> None:
        self.observe(JournaledEvent(seq, event, None))

    def unknown_key(self, words: str, times: int) -> None:
        self.faults.once("trust", "unknown_key", words, times)

    def operator(self, kid: bytes) -> OperatorKey | None:
        return self.trust.snapshot.operator(kid)

    def trust_changed(self, snapshot: TrustSnapshot) -> None:
        self.active_profile.follow(snapshot)

    def challenge(self, path: Path) -> bytes:
        """Return the nonce that is shown; one that nobody knows where it cannot be read."""
        try:
            nonce = read_challenge(path)
        except ChallengeError as error:
            self.faults.begin("challenge", "unreadable", str(error))
            return secrets.token_bytes(32)
        self.faults.end("challenge", "unreadable")
        return nonce

    def post_input(self, event: InputEvent) -> None:
        # The gate's thread never waits: it keeps what the controller cannot take.
        if self.controller is None:
            raise queue.Full
        self.controller.post(event, timeout_s=0.0)

    def post_check(self, event: BiometricDone | StaffFound) -> None:
        if self.controller is not None:
            self.controller.post(event)

    def scan_incident(self, incident: Incident) -> None:
        self.faults.happened("scan", incident.kind.value, incident.detail)

    def photo_incident(self, incident: Incident) -> None:
        self.faults.happened("photo", incident.kind.value, incident.detail)

    def check_fault(self, modality: Modality, word: str) -> None:
        self.faults.happened(modality.value, "failed", word)

    def camera_fault(self, name: str, word: str) -> None:
        self.faults.happened("camera", "reopened", f"{name}: {word}")

    def engine_fault(self, word: str) -> None:
        self.faults.happened("engine", "reopened", word)

    def show(self, signal: Signal) -> None:
        self.gate.signal(signal)


def assemble(
    file_config: Config,
    hardware: Hardware,
    *,
    respond: Respond,
    apply: Callable[[Config], str],
    observe: Callable[[JournaledEvent], None] | None = None,
    step: Callable[[str], None],
) -> Assembly:
    """Build a gate.

    Args:
        file_config: the file's settings.
        hardware: what it runs on.
        respond: answers commands by their transaction.
        apply: brings desired settings into force; returns what is wrong with them, or "".
        observe: told of every journaled row.
        step: told before each step that a slow card makes long.

    Raises:
        ConfigError, ProfileError, TrustError, ModelError, SubjectKeyError: the settings.
        JournalError, HalError, OSError: what they name cannot be had.
    """
    with ExitStack() as undo:
        assembly = _build(_Builder(hardware, observe, step), undo, file_config, respond, apply)
        undo.pop_all()
    return assembly


def _build(
    builder: _Builder,
    undo: ExitStack,
    file_config: Config,
    respond: Respond,
    apply: Callable[[Config], str],
) -> Assembly:
    file_config.state_path("").mkdir(parents=True, exist_ok=True)
    guard = ClockGuard(
        file_config.state_path("clock.json"),
        demand_source=file_config.trust.clock_source == "confirmed",
    )
    clock = SystemClock(guard)
    desired = DesiredConfig(
        file_config,
        GateAddress(file_config.gate.site, file_config.gate.gate),
        file_config.state_path("desired.json"),
        operator=builder.operator,
        apply=apply,
        clock=clock.believed_wall,
    )
    config = desired.effective
    builder.step("reading trust")
    builder.trust = TrustStore(config, clock=clock.wall, on_change=builder.trust_changed)
    feed = FaceFeed()
    builder.step("opening models and sensors")
    with _naming(desired):
        try:
            require_floor(file_config, config, builder.trust.snapshot)
        except BelowFloor as error:
            desired.leave_out(str(error))
            config = file_config
        place = place_of(config, builder.trust.snapshot)
        biometrics = build_biometrics(
            config, feed, builder.show, builder.trust.snapshot, builder.photo_incident
        )
        undo.callback(biometrics.close)
        require(place.profile, biometrics.modalities)
    builder.step("opening the journal")
    journal = Journal.open(
        config.state_path(config.journal.path), capacity=config.journal.capacity, clock=clock.wall
    )
    undo.callback(journal.close)
    builder.faults = Faults(journal, builder.observe_fault)
    biometrics.start()
    checks = BiometricChecks(
        biometrics.checks,
        post=builder.post_check,
        on_fault=builder.check_fault,
        staff=_staff_search(place.profile, biometrics),
    )
    hasher = _hasher(config, journal, builder.faults)
    judge, recorder = _judging(
        config,
        builder,
        place,
        biometrics=biometrics,
        journal=journal,
        hasher=hasher,
        clock=clock,
        file_config=file_config,
    )
    scanner = None
    if any(camera.serves != "face" for camera in config.camera):
        scanner = Scanner(config.scan, builder.scan_incident)
        undo.callback(scanner.close)
    builder.gate = Gate(
        builder.hardware.gatekeeper,
        pin_map(config),
        builder.post_input,
        card_output=partial(_cards, config, builder),
    )
    # Last, since the gatekeeper wants to hear from us from now on.
    mode = _taken_over(config, builder.gate, builder.gate.begin())
    undo.callback(builder.gate.stop)
    builder.gate.start()
    controller = builder.controller = Controller(
        Ports(
            judge=judge,
            trust=lambda: builder.trust.snapshot,
            clock=clock,
            journal=journal,
            hasher=hasher,
            gate=builder.gate,
            checks=checks,
            recorder=recorder,
            respond=respond,
            save_mode=builder.gate.choose,
            observe=builder.observe,
            journal_full=config.gate.journal_full,
            note_fault=builder.faults.note,
            challenge=_challenge(config, builder),
        ),
        Rules.of(config.gate, config.gpio),
        mode,
    )
    builder.hardware.listen(builder.camera_fault, builder.engine_fault)
    return Assembly(
        config=config,
        file_config=file_config,
        hardware=builder.hardware,
        guard=guard,
        clock=clock,
        trust=builder.trust,
        desired=desired,
        journal=journal,
        faults=builder.faults,
        counters=builder.counters,
        biometrics=biometrics,
        checks=checks,
        judge=judge,
        active_profile=builder.active_profile,
        gate=builder.gate,
        scanner=scanner,
        controller=controller,
        camera_loops=_camera_loops(config, builder, scanner, feed, controller),
        engine_loop=_engine_loop(config, builder, controller),
        board=BoardWatch(make_board(config), builder.faults, hot_c=config.board.hot_c),
        volatile=volatile(config.state_path(config.journal.path).parent),
    )


def _taken_over(config: Config, gate: Gate, mode: Mode) -> Mode:
    """Hand the mode that a version before the gatekeeper kept over to it; return what holds now."""
    older = config.state_path("mode")
    if not older.exists():
        return mode
    mode, wrong = load_mode(older)
    if wrong:
        _log.warning("the mode of before", fault=wrong)
    gate.choose(mode)
    older.unlink()
    return mode


def _cards(config: Config, builder: _Builder, send: Callable[[Request], None]) -> CardOutput | None:
    return make_card_output(config.gpio, send, config.path(""), builder.show)


def _hasher(config: Config, journal: Journal, faults: Faults) -> SubjectHasher:
    """Return what turns subjects into what may be written; tell where their key was lost."""
    path = config.state_path(config.journal.subject_key_file)
    forgotten = journal.head().boot > 1 and not path.exists()
    key = load_or_create_key(path)
    if forgotten:
        faults.happened(
            "journal", "subject_key_lost", "a new one was made: lockouts and places begin anew"
        )
    return SubjectHasher(key, rotate_daily=config.journal.rotate_subjects)


def _judging(
    config: Config,
    builder: _Builder,
    place: Place,
    *,
    biometrics: Biometrics,
    journal: Journal,
    hasher: SubjectHasher,
    clock: SystemClock,
    file_config: Config,
) -> tuple[Judge, Recorder]:
    """Return what judges codes and what records the answers, both kept in step with the profile."""
    memory = JournalMemory(
        journal,
        hasher,
        zone=config.gate.zone,
        passback_s=place.profile.anti_passback_s,
        reuse_s=place.profile.reuse_s,
        began_at=clock.wall(),
        failures=config.gate.lockout_failures,
        enrolled=biometrics.enrolled,
        future_s=max(each.future_s for each in place.tolerances.values()),
    )
    judge = Judge(place, timer=time.perf_counter_ns, memory=memory)
    recorder = Recorder(boot_id=journal.boot_id, profile=place.profile.name, zone=config.gate.zone)
    builder.active_profile = ActiveProfile(
        config,
        judge=judge,
        memory=memory,
        recorder=recorder,
        require=partial(require, fitted=biometrics.modalities),
        file_config=file_config,
        faults=builder.faults,
    )
    return judge, recorder


@contextmanager
def _naming(desired: DesiredConfig) -> Iterator[None]:
    """Say of settings that cannot be used that they are not those of the file, where it is so.

    Going on with the file's instead could mean a gate that asks for less.

    Raises:
        ConfigError: what was wrong, and where it comes from.
    """
    try:
        yield
    except (ConfigError, ProfileError) as error:
        if not desired.origin:
            raise
        raise ConfigError(f"{error}; {desired.origin}") from None


def _challenge(config: Config, builder: _Builder) -> Callable[[], bytes | None]:
    if not config.gate.challenge_file:
        return lambda: None
    return partial(builder.challenge, config.path(config.gate.challenge_file))


def _staff_search(profile: Profile, biometrics: Biometrics) -> Search | None:
    """Return the 1:N search where the place allows it.

    Raises:
        ConfigError: it is allowed and no module is fitted.
    """
    if not profile.staff_search:
        return None
    if biometrics.finger is None:
        raise ConfigError(
            f"profile {profile.name} has staff_search: the settings need a table [finger]"
        )
    return biometrics.finger.search


def _camera_loops(
    config: Config,
    builder: _Builder,
    scanner: Scanner | None,
    feed: FaceFeed,
    controller: Controller,
) -> list[CameraLoop]:
    blind = BlindCameras(builder.faults)
    return [
        CameraLoop(
            camera,
            scanner=scanner if settings.serves != "face" else None,
            feed=feed if settings.serves != "code" else None,
            post=controller.post,
            timeout_s=settings.timeout_s,
            on_blindness=partial(blind.changed, settings.name),
        )
        for camera, settings in zip(builder.hardware.cameras, config.camera, strict=True)
    ]


def _engine_loop(config: Config, builder: _Builder, controller: Controller) -> EngineLoop | None:
    engine, settings = builder.hardware.engine, config.scan_engine
    if engine is None or settings is None:
        return None
    return EngineLoop(engine, post=controller.post, hold_s=settings.hold_s)


def require(profile: Profile, fitted: frozenset[Modality]) -> None:
    """Refuse a place whose demand nothing fitted can answer.

    Raises:
        ConfigError: which table the settings need.
    """
    face, finger = frozenset({Modality.FACE}), frozenset({Modality.FINGER})
    needed = {
        Ask.NONE: (),
        Ask.FACE: (face,),
        Ask.FINGER: (finger,),
        Ask.BOTH: (face, finger),
        Ask.EITHER: (face | finger,),
    }
    for ask in (profile.biometric, profile.biometric_basic or Ask.NONE):
        for choice in needed[ask]:
            if not choice & fitted:
                tables = " or ".join(f"[{modality.value}]" for modality in sorted(choice))
                raise ConfigError(
                    f"profile {profile.name} asks for biometric {ask.value!r}: "
                    f"the settings need a table {tables}"
                )


def objection(assembly: Assembly, config: Config) -> str:
    """Return what is wrong with settings that are about to be brought into force, or ""."""
    try:
        require_floor(assembly.file_config, config, assembly.trust.snapshot)
        place = place_of(config, assembly.trust.snapshot)
        require(place.profile, assembly.biometrics.modalities)
    except (ProfileError, ConfigError) as error:
        return str(error)
    return ""
