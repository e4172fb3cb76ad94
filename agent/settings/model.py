"""Typed settings from one TOML file.

Rules:
- Every key has a type, a range and a default; an unknown key is an error, not a typo lived with.
- Relative paths are relative to the file's own directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from agent.settings.errors import NAME

__all__ = [
    "BoardConfig",
    "CameraConfig",
    "Config",
    "ConfigError",
    "FaceConfig",
    "File",
    "FingerConfig",
    "FloorConfig",
    "GateConfig",
    "GpioConfig",
    "JournalConfig",
    "LogConfig",
    "MqttConfig",
    "ScanConfig",
    "ScanEngineConfig",
    "SimulationConfig",
    "ToleranceConfig",
    "TrustConfig",
]
Name = Annotated[str, Meta(pattern=NAME)]
Pin = Annotated[int, Meta(ge=0, le=27)]
Stops = Annotated[float, Meta(ge=-8, le=8)]
Milliseconds = Annotated[int, Meta(ge=0, le=1_000)]
Difference = Annotated[int, Meta(ge=0, le=300)]
FormatKey = Literal["native", "claim169", "dcc", "pretix", "transit", "aadhaar"]
PositiveSeconds = Annotated[float, Meta(gt=0, le=86_400)]


class ConfigError(ValueError):
    """The settings cannot be used; the message is one line for the operator."""


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class GateConfig(_Section, frozen=True):
    """Who this gate is, and how a passage runs."""

    site: Name
    gate: Name
    profile: str = "library"
    """A shipped profile's name, or a path to a TOML file."""
    region: str = ""
    """ISO 3166-2 of the place, for regional credentials."""
    direction: Literal["in", "out", "both"] = "in"
    """Which way codes open. `both`: codes open inwards, the release for either way, a command for
    the way that it names; codes for the way out need a second gate. Needs `gpio.passage_2`."""
    free_exit: bool = False
    """Whoever leaves needs no code: recorded as `unchecked`, no alarm. The barrier must let people
    out by itself, or by the release. Needs `gpio.passage_2`."""
    zone: Name = "main"
    """What is behind the gate: anti-passback counts by it, rosters may name it."""
    pulse_ms: Annotated[int, Meta(ge=50, le=10_000)] = 200
    """Length of the relay's pulse, with `relay_mode = "pulse"`."""
    relay_mode: Literal["pulse", "level"] = "level"
    """`pulse` for most gates, `level` for magnet locks and many turnstiles."""
    passage_timeout_s: Annotated[float, Meta(ge=1, le=60)] = 5.0
    """How long a granted gate stays open for somebody to walk; then the use is given back or
    counts as passed: see `give_backs`."""
    biometric_timeout_s: Annotated[float, Meta(ge=1, le=60)] = 8.0
    """How long a face or a finger is waited for."""
    lockout_failures: Annotated[int, Meta(ge=1, le=100)] = 3
    """Mismatches of one subject, after which it has to wait `lockout_s`."""
    lockout_s: PositiveSeconds = 300.0
    give_backs: Annotated[int, Meta(ge=0, le=100)] = 1
    """Uses of one subject that are given back within `give_back_window_s` since nobody was seen to
    pass. The next is an alarm: it counts as used, and the subject has to wait `lockout_s`."""
    give_back_window_s: Annotated[float, Meta(ge=60, le=86_400)] = 3_600.0
    """For how long a use that was given back counts."""
    held_open_s: Annotated[float, Meta(ge=1, le=600)] = 10.0
    """How long the door may stand open after a passage before it is an alarm."""
    denial_s: Annotated[float, Meta(ge=0.2, le=30)] = 1.5
    """How long the red lamp shows; the same code is not judged again until it left the view."""
    journal_full: Literal["deny", "free"] = "deny"
    """What to do when the journal is full of rows that nobody acknowledged."""
    challenge_file: str = ""
    """Where a display's program writes the nonce it shows, in hexadecimal; codes must answer it."""


class CameraConfig(_Section, frozen=True):
    """One camera; the first serves codes, and faces too when it is the only one."""

    driver: Literal["picamera2", "v4l2", "simulated"] = "picamera2"
    """`picamera2` for a camera on the board's ribbon, `v4l2` for a webcam on USB."""
    name: Name = "code"
    serves: Literal["code", "face", "both"] = "both"
    index: Annotated[int, Meta(ge=0, le=3)] = 0
    """Which of the camera ports; with `v4l2` which of the webcams, in the kernel's order."""
    device: str = ""
    """Of `v4l2`, in place of `index`: `/dev/v4l/by-id/...`, which follows the webcam into any
    socket, `/dev/v4l/by-path/...`, which stays with the socket, or `/dev/video0`."""
    format: Literal["auto", "MJPG", "YUYV", "GREY"] = "auto"
    """Of `v4l2`: how pictures cross the USB; `auto` takes the first of these that the webcam has at
    `width` and `height`."""
    width: Annotated[int, Meta(ge=160, le=4096)] = 1280
    height: Annotated[int, Meta(ge=120, le=3072)] = 720
    fps: Annotated[float, Meta(gt=0, le=120)] = 15.0
    """Frames a second; each is looked at for codes."""
    rotation: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise that bring the picture upright."""
    timeout_s: PositiveSeconds = 2.0
    flicker_us: Annotated[int, Meta(ge=0, le=100_000)] = 10_000
    """Half the mains period, so that lamps do not band: 10000 at 50 Hz, 8333 at 60 Hz; 0: none."""
    exposure_values: tuple[Stops, ...] = (0.0, -2.0)
    """Exposure compensation, alternated from frame to frame: phone screens need less."""
    focus: Literal["fixed", "manual", "auto"] = "fixed"
    """`fixed` for lenses without motor, `manual` at `lens_position`. A webcam is left as it is by
    `fixed`; one whose lens cannot be set says so and goes on."""
    lens_position: Annotated[float, Meta(ge=0, le=32)] = 5.0
    """Dioptres (1/m) for manual focus: code at 20 cm is 5. Webcams give their steps no unit: 0 is
    the far end of them, 10 and more the near one."""


class ScanConfig(_Section, frozen=True):
    """QR decoding."""

    deadline_ms: Annotated[int, Meta(ge=20, le=5_000)] = 300
    """A decoder that takes longer is replaced; the frame counts as empty."""
    start_s: Annotated[float, Meta(ge=1, le=300)] = 10.0
    """How long the decoder's process may take to start; a slow card at boot needs the most."""
    pyzbar: bool = True
    """Try a second decoder on still pictures, and where a scene stands still and was not read."""
    retry: bool = True
    """Try a frame in which nothing was found once more, in turn by other means."""


class ScanEngineConfig(_Section, frozen=True):
    """A barcode engine, which delivers payloads instead of frames; leave it out where none is.

    With one, a gate needs no camera for codes: `camera = []`, before the first table.
    """

    driver: Literal["serial", "hid", "simulated"] = "serial"
    """`serial` for USB serial and UART; `hid` for an engine that types as a keyboard, which is
    slow: 10 s for a code of 661 characters at 8 ms a report."""
    port: str = ""
    """A name that outlives a reconnection: /dev/serial/by-id/..., or
    /dev/input/by-id/...-event-kbd."""
    model: Literal["gm65", "generic"] = "gm65"
    """`gm65` (Grow, Waveshare) is set up at every start, printed set-up codes off, and not used
    where that cannot be read back; any other engine is `generic`."""
    baud: Literal[9600, 19200, 38400, 57600, 115200] = 115200
    """A `gm65` that speaks 9600 is set to it."""
    mode: Literal["continuous", "sensor"] = "continuous"
    """How a `gm65` reads: always, or when something moves before it."""
    prefix: str = ""
    """What the engine sends before each payload."""
    suffix: str = "\r"
    """What it sends behind each; empty where contents are binary, so that silence ends them."""
    gap_ms: Annotated[int, Meta(ge=5, le=1_000)] = 30
    """That silence."""
    aim: bool = True
    """AIM identifiers (`]Q1`) are sent, and nothing but QR is taken."""
    start_commands: tuple[str, ...] = ()
    """Sent to a `generic` engine at every start, in hexadecimal: what switches set-up codes off."""
    start_answers: tuple[str, ...] = ()
    """What it must answer, one each; an empty text where it answers nothing."""
    hold_s: Annotated[float, Meta(ge=0.2, le=60)] = 1.0
    """For how long after it was read a code counts as in view. It must be longer than the engine's
    pause between two readings of the same code."""
    payload_s: Annotated[float, Meta(ge=0.5, le=30)] = 12.0
    """How long one payload may take from its first byte to its last."""


class GpioConfig(_Section, frozen=True):
    """Pins (BCM) and their polarity.

    The defaults are the lines that docs/wiring.md draws. What is not fitted is switched off by
    `false`, as in `fire = false`.
    """

    driver: Literal["rpi-gpio", "simulated"] = "rpi-gpio"
    gatekeeper: str = ""
    """Socket of the gatekeeper that owns the lines (its unit's is
    `/run/idgate-gatekeeper/socket`); empty starts one beside the state."""
    relay: Pin = 17
    relay_out: Pin | None = None
    """Second relay for the other direction."""
    green: Pin | None = 27
    red: Pin | None = 22
    buzzer: Pin | None = 23
    ready: Pin | None = 24
    passage: Pin | None = 5
    passage_2: Pin | None = None
    """Second beam: with it the direction is known."""
    fire: Pin | None = 6
    tamper: Pin | None = 13
    release: Pin | None = 19
    door: Pin | None = None
    key: Pin | None = None
    """Key switch: turned, the gate is in `key_mode`."""
    key_mode: Literal["free", "locked", "maintenance"] = "locked"
    relay_active: Literal["high", "low"] = "high"
    lamps_active: Literal["high", "low"] = "high"
    passage_active: Literal["high", "low"] = "low"
    release_active: Literal["high", "low"] = "low"
    door_active: Literal["high", "low"] = "high"
    key_active: Literal["high", "low"] = "low"
    debounce_ms: Milliseconds = 20
    """How long an input must be steady to be believed, where no key of its own says otherwise."""
    fire_debounce_ms: Milliseconds = 0
    """0 believes the first sample: a spark on the loop opens the gate for a second."""
    release_debounce_ms: Milliseconds = 50
    """How long a press must last: a spark opens nothing."""
    tamper_debounce_ms: Milliseconds | None = None
    door_debounce_ms: Milliseconds | None = None
    key_debounce_ms: Milliseconds | None = None
    passage_debounce_ms: Milliseconds | None = None
    """Of both beams."""
    poll_hz: Annotated[int, Meta(ge=50, le=500)] = 200
    """How often the inputs are read."""
    output: Literal["relay", "wiegand26", "wiegand34", "osdp"] = "relay"
    """Who opens: the relay, or an access controller that is handed a number."""
    wiegand_d0: Pin | None = None
    wiegand_d1: Pin | None = None
    osdp_port: str = ""
    osdp_address: Annotated[int, Meta(ge=0, le=126)] = 101
    osdp_key_file: str = ""


class FingerConfig(_Section, frozen=True):
    """The fingerprint module; leave the table out where none is fitted."""

    driver: Literal["adafruit", "simulated"] = "adafruit"
    port: str = "/dev/serial0"
    baud: Literal[9600, 19200, 28800, 38400, 57600, 115200] = 57600
    family: Name = "r503"
    """Sensor family that templates in credentials must name as issuer."""
    password_file: str = ""
    """8 hexadecimal digits; `idgate finger pair --password` makes it."""
    pairing_file: str = ""
    """64 hexadecimal digits that the module's notepad shows; `idgate finger pair` makes it."""
    threshold: Annotated[int, Meta(ge=1, le=1_000)] = 50
    """Least score of a match; the module's own security level must be met too."""
    retries: Annotated[int, Meta(ge=0, le=10)] = 2
    """Touches after the first."""
    decoy_rate: Annotated[float, Meta(ge=0, le=1)] = 0.05
    """Share of the checks that first try a decoy, which must not match."""


class FaceConfig(_Section, frozen=True):
    """Face matching; leave the table out where no place asks for a face."""

    runtime: Literal["auto", "litert", "tflite-runtime"] = "auto"
    """`auto` takes LiteRT where it is installed, else tflite-runtime."""
    threads: Annotated[int, Meta(ge=1, le=8)] = 1
    delegate: str = ""
    """Path of a TFLite delegate's library; empty uses the CPU."""
    detector: str = ""
    """Model name in the manifest; empty takes the manifest's default."""
    embedder: str = ""
    models_dir: str = ""
    """Directory with a manifest.toml; empty takes the shipped one."""
    false_match_rate: Literal["1e-2", "1e-3", "1e-4", "1e-5"] = "1e-4"
    """How often a stranger may be taken for the holder; sets the threshold."""
    frames: Annotated[int, Meta(ge=1, le=10)] = 3
    """How many good frames the mean is taken of; more where it is close."""
    liveness: Literal["off", "passive", "challenge"] = "passive"
    """`passive` looks for signs of a picture; `challenge` also asks to turn the head."""


class TrustConfig(_Section, frozen=True):
    """Where issuer keys, lists and rosters come from."""

    directory: str = "trust"
    """A directory with one issuer a file, or the cache of the signed set."""
    signed: bool = False
    """True: the directory is a TUF cache and only signed sets are believed."""
    url: str = ""
    """Where updates come from: https URL or a directory (a USB stick)."""
    ca: str = ""
    """PEM file: who may have signed the trust server's certificate, besides the system's CAs."""
    refresh_s: Annotated[float, Meta(ge=10, le=86_400 * 30)] = 3_600.0
    """How often the signed set is fetched, or the plain directory read again."""
    max_age_s: Annotated[float, Meta(ge=0)] = 86_400.0 * 30
    """A signed set published longer ago denies; 0 takes any age. A plain directory has none."""
    clock_source: Literal["any", "confirmed"] = "any"
    """`confirmed` believes only a time that a time server or a real-time clock gave."""
    site_key_files: tuple[str, ...] = ()
    """A256GCM keys (32 bytes) for encrypted codes."""


class ToleranceConfig(_Section, frozen=True):
    """How far the times in codes may be from the gate's clock."""

    future_s: Difference = 5
    """How far ahead of the gate's a phone's or an issuer's clock may be, in seconds."""
    past_s: Difference = 0
    """For how long after its end a code still counts, in seconds."""
    age_s: Annotated[int, Meta(ge=5, le=300)] = 30
    """How old a phone's code may be, in seconds; a lower limit of the code's own counts."""
    future_s_of: dict[FormatKey, Difference] = {}
    """`future_s` of single formats, as in `{ dcc = 60 }`."""
    past_s_of: dict[FormatKey, Difference] = {}
    """`past_s` of single formats."""


class JournalConfig(_Section, frozen=True):
    """The event log."""

    path: str = "journal.sqlite"
    """In the state directory, if relative."""
    capacity: Annotated[int, Meta(ge=1_000, le=10_000_000)] = 200_000
    """Rows that are kept; the journal is full when nobody acknowledged that many."""
    subject_key_file: str = "subject.key"
    """32 bytes for the HMAC over subjects; made at first start if absent."""
    rotate_subjects: bool = False
    """True: subjects leave the gate under a key that changes daily."""


class MqttConfig(_Section, frozen=True):
    """The broker; leave the table out for a gate without a fleet."""

    url: str = "mqtts://localhost:8883"
    """mqtt://HOST[:PORT] or mqtts://HOST[:PORT]."""
    version: Literal["5", "3.1.1"] = "5"
    client_id: str = ""
    """Empty makes `idgate-SITE-GATE`, with each `-` inside a name doubled."""
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    keepalive_s: Annotated[int, Meta(ge=5, le=3_600)] = 30
    """Seconds without a word after which either side takes the connection for dead."""
    session_expiry_s: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 86_400
    """How long the broker keeps the session of a gate that is away."""
    event_rate: Annotated[float, Meta(gt=0, le=10_000)] = 200.0
    """Events a second at most while an outage is made up for; live ones go first."""
    metrics_s: PositiveSeconds = 60.0
    """How often metrics are published."""
    home_assistant: bool = False
    """Announce the gate to Home Assistant."""
    home_assistant_open: bool = False
    """With `home_assistant`: a button that opens, unsigned; the broker's ACL says who has it."""
    commands: bool = True
    """False: no command is subscribed to."""
    wait_for_ack: bool = True
    """True: a row is free when the collector acknowledges; False: the broker's word is taken."""
    collector_key: str = ""
    """The collector's public key, 64 hexadecimal digits, as `idgate fleet collect` says it at its
    start. Empty: the first one that acknowledges is believed, and kept among the state."""


class FloorConfig(_Section, frozen=True):
    """What settings and modes from the fleet may not go below; the file's own are free."""

    profile: str = ""
    """No profile from afar may demand less than this one; empty takes `gate.profile`. `library`
    demands the least of the shipped ones."""
    profiles: tuple[str, ...] = ()
    """The only profiles that the fleet may choose; empty leaves it all that are shipped or in the
    trust set."""
    passage_timeout_s: Annotated[float, Meta(ge=1, le=60)] = 60.0
    """Longest `gate.passage_timeout_s` from afar."""
    lockout_failures: Annotated[int, Meta(ge=1, le=100)] = 100
    """Most `gate.lockout_failures` from afar."""
    lockout_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """Shortest `gate.lockout_s` from afar."""
    modes: tuple[Literal["normal", "free", "locked", "maintenance"], ...] = (
        "normal", "free", "locked", "maintenance",
    )  # fmt: skip
    """Modes that a command may choose."""


class BoardConfig(_Section, frozen=True):
    """The board's own health: voltage, throttling, temperature."""

    driver: Literal["raspberrypi", "simulated"] = "raspberrypi"
    """`raspberrypi` reads what the kernel shows of the firmware; the rest is unknown."""
    hot_c: Annotated[float, Meta(ge=40, le=110)] = 80.0
    """Temperature of the processor, in degrees Celsius, from which on it is a fault."""


class LogConfig(_Section, frozen=True):
    """Logging to standard error, where the service manager collects it."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class SimulationConfig(_Section, frozen=True):
    """What the simulated drivers play; ignored by real ones."""

    frames: str = ""
    """A picture, a folder of pictures or a video that the simulated camera shows."""
    camera_script: str = ""
    """Faults of the simulated cameras: `FROM_S UNTIL_S KIND` a line, seconds since the start; the
    kinds are timeout, hang, unplug and freeze."""
    codes_file: str = ""
    """A file whose first line is the code before the simulated scan engine."""
    pins_file: str = ""
    """Where the simulated GPIO records its edges and takes its inputs."""
    sensor_script: str = ""
    """Touches and faults of the simulated fingerprint module: a TOML file."""
    board_file: str = ""
    """What the simulated board says: `throttled=50005` (hexadecimal) and `temperature_c=61.5`, a
    line each."""


class File(_Section, frozen=True):
    """The whole file."""

    gate: GateConfig
    camera: tuple[CameraConfig, ...] = (CameraConfig(),)
    scan: ScanConfig = ScanConfig()
    scan_engine: ScanEngineConfig | None = None
    gpio: GpioConfig = GpioConfig()
    finger: FingerConfig | None = None
    face: FaceConfig | None = None
    trust: TrustConfig = TrustConfig()
    tolerance: ToleranceConfig = ToleranceConfig()
    journal: JournalConfig = JournalConfig()
    mqtt: MqttConfig | None = None
    floor: FloorConfig = FloorConfig()
    board: BoardConfig = BoardConfig()
    log: LogConfig = LogConfig()
    simulation: SimulationConfig = SimulationConfig()
    state_dir: str = "."
    """Where the journal, the clock's memory and the mode are kept."""


class Config(File, frozen=True):
    """The settings, and where their file stands, which no key of it says."""

    base_dir: str = "."
    """Set by `load`: the file's own directory."""
    file: str = ""
    """Set by `load`: the file itself, as an absolute path."""

    def path(self, name: str) -> Path:
        """Resolve a path in the file against the file's directory."""
        return Path(self.base_dir, name)

    def state_path(self, name: str) -> Path:
        """Resolve the name of a state file."""
        return Path(self.base_dir, self.state_dir, name)
