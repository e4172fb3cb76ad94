"""Looks at every part of a gate and says what is wrong and what to do.

Rules:
- A check looks and does not move: no relay, no lamp, no enrolment; nothing is journaled.
- Each check ends as ok, warning, failed or skipped, with one line, and a remedy unless ok.
- A check that raises what it did not foresee is a failure of the part it looked at.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from agent.settings.model import Config, ConfigError
from hal.library import explain

if TYPE_CHECKING:
    from agent.report.desired import DesiredConfig
    from agent.trust.model import TrustView
    from agent.trust.snapshot import TrustSnapshot

__all__ = ["Finding", "examine"]

State = Literal["ok", "warning", "failed", "skipped"]
LOW_DISK_MIB = 200
FULL_DISK_MIB = 4
SET_ASIDE_TOLD = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    part: str
    state: State
    detail: str
    remedy: str = ""


Check = Callable[[Config], Finding]


def examine(config: Config, *, hardware: bool = True) -> Iterator[Finding]:
    """Yield a finding for each part, in the order in which a gate needs them.

    Args:
        config: the gate's settings.
        hardware: False leaves devices alone that a running daemon owns.
    """
    desired = _desired(config)
    config = desired.effective
    checks: list[tuple[str, Check, bool]] = [
        ("disk", _disk, False),
        ("state", _state, False),
        ("board", _board, False),
        ("drivers", _drivers, False),
        ("pins", _pins, False),
        ("clock", _clock, False),
        ("profile", _profile, False),
        ("trust", _trust, False),
        ("dates", _dates, False),
        ("journal", _journal, False),
        ("models", _models, False),
        ("camera", _camera, True),
        ("engine", _engine, True),
        ("gpio", _gpio, True),
        ("finger", _finger, True),
        ("broker", _broker, False),
    ]
    for part, check, touches in checks:
        if touches and not hardware:
            yield Finding(part, "skipped", "left alone")
            continue
        try:
            finding = check(config)
            if part == "profile" and desired.origin:
                finding = replace(finding, detail=f"{finding.detail}; {desired.origin}")
            yield finding
        except Exception as error:  # noqa: BLE001 - one broken part must not hide the others
            yield Finding(
                part, "failed", f"{type(error).__name__}: {explain(error)}", "report it, please"
            )


def _desired(config: Config) -> DesiredConfig:
    """Return what the fleet wants set, as the daemon brings it into force at its start."""
    from agent.report.desired import DesiredConfig
    from agent.report.topics import GateAddress

    return DesiredConfig(
        config,
        GateAddress(config.gate.site, config.gate.gate),
        config.state_path("desired.json"),
        operator=lambda _kid: None,
        apply=lambda _config: "",
        clock=time.time,
    )


def _disk(config: Config) -> Finding:
    state = config.state_path("")
    if not state.is_dir():
        return Finding(
            "disk", "failed", f"{state} is not there", "create it, owned by the daemon's user"
        )
    if os.statvfs(state).f_flag & os.ST_RDONLY:
        return Finding(
            "disk", "failed", f"{state} is mounted read-only: nobody is let in by code",
            "`dmesg` may say why; a card that turns read-only is worn out: replace it",
        )  # fmt: skip
    if not os.access(state, os.W_OK):
        return Finding(
            "disk", "failed", f"{state} cannot be written by this user",
            "run as the daemon's user, or chown the directory",
        )  # fmt: skip
    free_mib = shutil.disk_usage(state).free >> 20
    if free_mib < FULL_DISK_MIB:
        return Finding(
            "disk", "failed", f"{free_mib} MiB free: nobody is let in by code once it is full",
            "make room: the journal needs it",
        )  # fmt: skip
    if free_mib < LOW_DISK_MIB:
        return Finding("disk", "warning", f"{free_mib} MiB free", "make room: the journal needs it")
    return Finding("disk", "ok", f"{state}, {free_mib} MiB free")


def _state(config: Config) -> Finding:
    from agent.daemon.state_directory import volatile

    path = config.state_path(config.journal.path).parent
    if forgets := volatile(path):
        return Finding(
            "state", "warning",
            f"{path} is in memory ({forgets}): a power cut forgets which codes were used, who is "
            "inside and what the fleet does not have",
            "give state_dir a partition of its own on a disk, which the overlay leaves alone",
        )  # fmt: skip
    return Finding("state", "ok", f"{path} outlives a power cut")


def _board(config: Config) -> Finding:
    from agent.daemon.board import make_board
    from hal.errors import HalError

    try:
        health = make_board(config).health()
    except HalError as error:
        return Finding("board", "failed", str(error), "mend or remove what it names")
    if health.under_voltage:
        return Finding(
            "board", "failed", "under-voltage: writes and radio fail at random",
            "use the maker's power supply, a shorter or thicker cable; feed lamps and locks apart",
        )  # fmt: skip
    if health.temperature_c is not None and health.temperature_c >= config.board.hot_c:
        return Finding(
            "board", "warning", f"{health.temperature_c:.0f} degrees", "give it air, or a heat sink"
        )
    if health.under_voltage_since_boot or health.throttled_since_boot:
        word = "under-voltage" if health.under_voltage_since_boot else "slowed down"
        return Finding(
            "board", "warning", f"{word} since it was switched on",
            "look at the power supply, its cable and the board's temperature",
        )  # fmt: skip
    told = []
    if health.under_voltage is not None:
        told.append("no under-voltage")
    if health.temperature_c is not None:
        told.append(f"{health.temperature_c:.0f} degrees")
    if not told:
        return Finding("board", "skipped", "the kernel tells nothing of voltage and temperature")
    return Finding("board", "ok", ", ".join(told))


def _drivers(config: Config) -> Finding:
    from agent.doctor.wiring import look, simulated

    wrong, names = simulated(config, look())
    if wrong:
        return Finding(
            "drivers", "warning", f"simulated, at what looks like a real gate: {names}",
            'set driver = "rpi-gpio", "picamera2", "v4l2" or "adafruit" there, or leave it out',
        )  # fmt: skip
    return Finding("drivers", "ok", f"simulated, for a trial: {names}" if names else "real ones")


def _pins(config: Config) -> Finding:
    from agent.doctor.wiring import look, risky_pins

    if config.gpio.driver == "simulated":
        return Finding("pins", "skipped", "simulated")
    if wrong := list(risky_pins(config, look())):
        return Finding(
            "pins", "warning", "; ".join(wrong),
            "move the line to another pin, or switch the bus off; docs/wiring.md has the pins",
        )  # fmt: skip
    return Finding("pins", "ok", "none that a bus or the board's start-up claims")


def _clock(config: Config) -> Finding:
    from agent.doctor.clock import look_at_clock, read_keepers

    state, detail, remedy = look_at_clock(config, read_keepers())
    return Finding("clock", state, detail, remedy)


def _believed(config: Config) -> TrustView | None:
    """Return the trust, or None where it cannot be read: the check of the trust says so."""
    from agent.daemon.place import read_trust
    from agent.trust.model import TrustError

    try:
        return read_trust(config, now=int(time.time()))
    except TrustError:
        return None


def _profile(config: Config) -> Finding:
    from agent.credential.model import Modality
    from agent.daemon.assembly import require
    from agent.daemon.place import place_of
    from agent.policy.decide import local_time
    from agent.policy.hours import keeps_hours, told
    from agent.policy.needs import place_code
    from agent.policy.profile import ProfileError

    trust = _believed(config)
    tables = {Modality.FACE: config.face, Modality.FINGER: config.finger}
    try:
        place = place_of(config, trust)
        profile = place.profile
    except (ProfileError, ValueError) as error:
        return Finding("profile", "failed", str(error), "name a shipped profile or mend the file")
    try:
        require(profile, frozenset(name for name, table in tables.items() if table is not None))
    except ConfigError as error:
        return Finding("profile", "failed", str(error), "add the table, or name another profile")
    words = f"{profile.title}; biometric: {profile.biometric.value}"
    if keeps_hours(profile):
        local = local_time(profile, int(time.time()), place.own_zone)
        words = f"{words}; {told(profile, local)}"
    words = f"{words}; sign for phones: {place_code(place.site, place.gate, profile)}"
    return Finding("profile", "ok", words)


def _ca_fault(config: Config) -> str:
    """Return why no update could be fetched, whatever the server is like; empty for nothing."""
    import ssl

    from agent.trust.fetch import add_ca
    from agent.trust.model import TrustError

    if config.trust.ca:
        try:
            add_ca(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), config.path(config.trust.ca))
        except TrustError as error:
            return str(error)
    return ""


def _trust(config: Config) -> Finding:
    from agent.daemon.place import read_trust
    from agent.trust.model import TrustError

    now = int(time.time())
    if fault := _ca_fault(config):
        return Finding(
            "trust", "failed", f"key trust.ca: {fault}",
            "put the CA of the trust server there, or leave the key out",
        )  # fmt: skip
    try:
        trust = read_trust(config, now=now)
    except TrustError as error:
        return Finding(
            "trust", "failed", str(error),
            "mend or replace the file it names; this user must be able to read it",
        )  # fmt: skip
    aside = _set_aside(trust)
    if not trust.keys:
        return Finding(
            "trust", "failed", f"no issuer is trusted: every code will be refused{aside}",
            "put issuer keys into the trust directory",
        )  # fmt: skip
    live = [key for key in trust.keys if key.valid_from <= now <= key.valid_until]
    age_days = trust.age_s(now) / 86_400
    detail = f"{len(trust.keys)} keys, version {trust.version}, {age_days:.1f} days old"
    if not live:
        return Finding("trust", "failed", f"{detail}; every key is outside its validity", "update")
    limit = config.trust.max_age_s
    if trust.version and limit and trust.age_s(now) > limit:
        return Finding("trust", "failed", f"{detail}; too old", "run `idgate trust update`")
    if aside:
        return Finding("trust", "warning", f"{detail}{aside}", "mend or remove what was set aside")
    return Finding("trust", "ok", detail)


def _dates(config: Config) -> Finding:
    from agent.daemon.expiry import ends
    from agent.daemon.place import read_trust
    from agent.trust.model import TrustError

    now = time.time()
    try:
        trust = read_trust(config, now=int(now))
    except TrustError:
        return Finding("dates", "skipped", "the trust cannot be read: see above")
    found = sorted(ends(config, trust, broker_until=None).values(), key=lambda each: each.until)
    soon = [each for each in found if each.soon(now)]
    if not soon:
        return Finding("dates", "ok", found[0].words(now) if found else "nothing has an end")
    state: State = "failed" if any(each.days(now) < 0 for each in soon) else "warning"
    return Finding(
        "dates", state, "; ".join(each.words(now) for each in soon),
        "renew what it names; an issuer that is gone: take it out of the trust",
    )  # fmt: skip


def _set_aside(trust: TrustSnapshot) -> str:
    """Return what of the trust is not believed, to stand behind something."""
    told = "".join(f"; set aside {entry}" for entry in trust.set_aside[:SET_ASIDE_TOLD])
    more = len(trust.set_aside) - SET_ASIDE_TOLD
    return f"{told}; and {more} more" if more > 0 else told


def _journal(config: Config) -> Finding:
    path = config.state_path(config.journal.path)
    if not path.exists():
        return Finding("journal", "ok", "will be made at the first start")
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (verdict,) = database.execute("PRAGMA quick_check").fetchone()
        (rows,) = database.execute("SELECT count(*) FROM event").fetchone()
        # Acknowledged rows stay until their place is needed: they are no sign of trouble.
        (waiting,) = database.execute(
            "SELECT count(*) FROM event JOIN boot ON boot.number = event.boot"
            " WHERE event.seq > boot.acknowledged"
        ).fetchone()
    except sqlite3.DatabaseError as error:
        return Finding(
            "journal", "failed", f"{path}: {error}",
            "nothing: the daemon sets it aside at its next start and reports it",
        )  # fmt: skip
    finally:
        database.close()
    if verdict != "ok":
        return Finding("journal", "failed", f"{path}: {verdict}", "replace the disk or card")
    from agent.journal.journal import RESERVE

    aside = sorted(found.name for found in path.parent.glob(f"{path.name}.corrupt-*"))
    if aside:
        return Finding(
            "journal", "warning", f"{rows} events; damaged before: {', '.join(aside)}",
            "copy what was set aside away, as evidence, then remove it; think of a new card",
        )  # fmt: skip
    detail = f"{rows} events"
    if config.mqtt is None:
        return Finding("journal", "ok", detail)
    share = waiting / config.journal.capacity
    detail += f"; {waiting} wait for the collector, {share:.0%} of the capacity"
    if waiting >= config.journal.capacity - RESERVE:
        then = {"deny": "every code is denied", "free": "the gate is free"}
        return Finding(
            "journal", "failed", f"{detail}: full, {then[config.gate.journal_full]}",
            "bring the collector back: rows that it did not acknowledge are kept",
        )  # fmt: skip
    if share > 0.9:
        return Finding("journal", "warning", detail, "bring the collector back")
    return Finding("journal", "ok", detail)


def _models(config: Config) -> Finding:
    from agent.biometrics.errors import ModelError
    from agent.biometrics.face.session import FaceVerifier
    from agent.daemon.place import face_settings

    settings = face_settings(config, _believed(config))
    if settings is None:
        return Finding("models", "skipped", "no face is checked here")
    try:
        verifier = FaceVerifier.from_config(settings, config.path(""))
    except ModelError as error:
        return Finding("models", "failed", str(error), "run `idgate models verify`")
    words = ", ".join(f"{name} {value}" for name, value in verifier.info().items())
    return Finding("models", "ok", f"{words}; golden vectors answered")


def _camera(config: Config) -> Finding:
    from agent.doctor.cameras import look_at_cameras

    if not config.camera:
        return Finding("camera", "skipped", "none is fitted: a scan engine reads the codes")
    state, detail, remedy = look_at_cameras(config)
    return Finding("camera", state, detail, remedy)


def _engine(config: Config) -> Finding:
    if config.scan_engine is None:
        return Finding("engine", "skipped", "no scan engine is fitted")
    from agent.daemon.engine import look_at_engine

    problem, caution, detail = look_at_engine(config)
    if problem:
        return Finding(
            "engine", "failed", problem,
            "check port, power, baud and model; stop a running daemon, which has it alone",
        )  # fmt: skip
    if caution:
        return Finding(
            "engine", "warning", f"{detail}; {caution}",
            "docs/wiring.md says what to set in the engine; prefer a serial one that answers",
        )  # fmt: skip
    return Finding("engine", "ok", detail)


def _gpio(config: Config) -> Finding:
    from agent.daemon.gatekeeper import looking
    from agent.daemon.pins import pin_map
    from agent.gatekeeper.pinmap import inputs
    from hal.errors import HalError

    fitted = [line.name for line in inputs(pin_map(config))]
    try:
        with looking(config) as look:
            active = [name for name in fitted if name in look()]
    except HalError as error:
        return Finding(
            "gpio", "failed", str(error),
            "install the driver, join the group gpio, and stop a running daemon",
        )  # fmt: skip
    alarms = [name for name in active if name in {"fire", "tamper"}]
    if alarms:
        return Finding(
            "gpio", "warning", f"{' and '.join(alarms)} loop open: the gate will be in alarm",
            "close the loop; where none is fitted: "
            + ", ".join(f"gpio.{name} = false" for name in alarms),
        )  # fmt: skip
    if active := [name for name in active if name in {"passage", "passage_2", "release"}]:
        return Finding(
            "gpio", "warning", f"{' and '.join(active)} active, as if somebody were there",
            "free the beam, look at its power and polarity; let go of the button",
        )  # fmt: skip
    return Finding("gpio", "ok", f"inputs: {', '.join(fitted) or 'none'}")


def _finger(config: Config) -> Finding:
    if config.finger is None:
        return Finding("finger", "skipped", "no fingerprint module is fitted")
    from agent.daemon.finger import look_at_sensor

    problem, detail = look_at_sensor(config)
    if problem:
        return Finding(
            "finger", "failed", problem, "check port, baud, wiring and the group dialout"
        )
    return Finding("finger", "ok", detail)


def _broker(config: Config) -> Finding:
    if config.mqtt is None:
        return Finding("broker", "skipped", "this gate reports to nobody")
    from agent.doctor.broker import look_at_broker

    state, detail, remedy = look_at_broker(config, config.mqtt)
    return Finding("broker", state, detail, remedy)
