"""Settings: every fault is one line that names file, key, fault and what is allowed."""

from __future__ import annotations

import os

import pytest

from agent.credential.model import FormatName
from agent.credential.registry import ReadRules, Tolerance
from agent.daemon.place import site_keys, tolerances_of
from agent.settings.load import load, parse
from agent.settings.model import ConfigError
from agent.settings.secrets import secret_path

GOOD = '[gate]\nsite = "st1"\ngate = "g1"\n'
ENGINE = GOOD + '[scan_engine]\nport = "/dev/x"\n'
GENERIC = ENGINE + 'model = "generic"\n'
NO_CAMERA = "camera = []\n" + ENGINE


def test_defaults_are_a_working_gate(tmp_path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    config = load(path)
    assert config.gate.profile == "library"
    assert config.mqtt is None
    assert config.face is None
    assert config.path("trust") == tmp_path / "trust"


def test_tolerances_are_those_of_the_reader_unless_they_are_set(tmp_path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    rules = ReadRules(now=0, clock_trusted=True, site="s", gate="g")
    assert tolerances_of(load(path)) == dict.fromkeys(FormatName, Tolerance())
    assert rules.within(Tolerance()) == rules
    path.write_text(
        GOOD + "[tolerance]\nfuture_s = 7\npast_s = 8\nage_s = 9\n"
        "future_s_of = { dcc = 60, pretix = 0 }\npast_s_of = { transit = 300 }\n"
    )
    usual = Tolerance(future_s=7, past_s=8, age_s=9)
    assert tolerances_of(load(path)) == dict.fromkeys(FormatName, usual) | {
        FormatName.DCC: Tolerance(future_s=60, past_s=8, age_s=9),
        FormatName.PRETIX: Tolerance(future_s=0, past_s=8, age_s=9),
        FormatName.TRANSIT: Tolerance(future_s=7, past_s=300, age_s=9),
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_an_editor_of_windows_changes_nothing(tmp_path, end: str, mark: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    plain = load(path)
    path.write_bytes(mark + GOOD.replace("\n", end).encode())
    assert load(path) == plain


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_named(tmp_path, encoding: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(f"# Eingangstür\n{GOOD}".encode(encoding))
    with pytest.raises(ConfigError, match=r"cannot be read: not UTF-8 text: save it as that$"):
        load(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["gate"]),
        ("[gate\n", ["not TOML"]),
        ("a = " + "[" * 50_000, ["not TOML"]),
        (GOOD + "[gpio]\nrelay = 99\n", ["gpio.relay", "27"]),
        (GOOD + '[gpio]\nrelay = "17"\n', ["gpio.relay", "int", "str"]),
        (
            GOOD + "[gpio]\nrelais = 17\n",
            ["key gpio:", "relais", "allowed: driver, gatekeeper, relay, relay_out"],
        ),
        (GOOD + "[gpio]\nrelay = 5\npassage = 5\n", ["gpio.passage", "pin 5", "gpio.relay"]),
        (GOOD + "[gpio]\nrelay = false\n", ["gpio.relay", "int", "bool"]),
        (GOOD + "[gpio]\nfire = true\n", ["gpio.fire", "int", "bool"]),
        (GOOD + '[gpio]\noutput = "wiegand26"\n', ["gpio.wiegand_d0"]),
        (GOOD + '[gpio]\noutput = "osdp"\n', ["gpio.osdp_port"]),
        (GOOD + '[gpio]\noutput = "osdp"\nosdp_port = "/dev/x"\n', ["gpio.osdp_key_file"]),
        (
            GOOD + '[gpio]\ndriver = "magic"\n',
            ["gpio.driver", "magic", "allowed: rpi-gpio, simulated"],
        ),
        (GOOD + '[[camera]]\nname = "a"\n[[camera]]\nname = "a"\n', ["camera"]),
        (GOOD + '[[camera]]\nserves = "face"\n', ["camera.serves", "codes"]),
        (GOOD + '[face]\n[[camera]]\nserves = "code"\n', ["camera.serves", "faces"]),
        (GOOD + '[[camera]]\ndevice = "/dev/video0"\n', ["key camera.device", 'driver = "v4l2"']),
        (GOOD + '[[camera]]\nformat = "MJPG"\n', ["key camera.format", 'driver = "v4l2"']),
        (
            GOOD + '[[camera]]\ndriver = "v4l2"\ndevice = "video0"\n',
            ["key camera.device", "below /dev"],
        ),
        (
            GOOD + '[[camera]]\ndriver = "v4l2"\nformat = "H264"\n',
            ["camera[0].format", "allowed: "],
        ),
        (
            GOOD + '[[camera]]\ndriver = "v4l2"\n[[camera]]\ndriver = "v4l2"\nname = "b"\n',
            ["key camera.device", "same one"],
        ),
        ("camera = []\n" + GOOD, ["key camera", "[scan_engine]"]),
        (NO_CAMERA + "[face]\n", ["camera.serves", "[face]", "faces"]),
        (GOOD + "[scan_engine]\n", ["scan_engine.port", "by-id"]),
        (GOOD + '[scan_engine]\ndriver = "simulated"\n', ["simulation.codes_file"]),
        (ENGINE + 'start_commands = ["7E"]\n', ["scan_engine.start_commands", "generic"]),
        (GENERIC + 'start_commands = ["7E0"]\n', ["scan_engine.start_commands", "hexadecimal"]),
        (GENERIC + 'start_answers = ["7E"]\n', ["scan_engine.start_answers", "one for each"]),
        (ENGINE + 'suffix = "\u00e9"\n', ["scan_engine.suffix", "ASCII"]),
        (ENGINE + 'driver = "hid"\nsuffix = "\\t"\n', ["scan_engine.suffix", "Enter"]),
        (ENGINE + '[finger]\nport = "/dev/x"\n', ["scan_engine.port", "finger.port"]),
        (GOOD + "[scan]\ndeadline_ms = 1\n", ["scan.deadline_ms", "20"]),
        (GOOD + '[face]\nliveness = "on"\n', ["face.liveness", "allowed: off, passive, challenge"]),
        (GOOD + "[tolerance]\nfuture_s = 301\n", ["tolerance.future_s", "300"]),
        (GOOD + "[tolerance]\npast_s = -1\n", ["tolerance.past_s", "0"]),
        (GOOD + "[tolerance]\nage_s = 4\n", ["tolerance.age_s", "5"]),
        (GOOD + "[tolerance]\nage_s = 301\n", ["tolerance.age_s", "300"]),
        (GOOD + "[tolerance]\npast_s_of = { dcc = 301 }\n", ["tolerance.past_s_of", "300"]),
        (GOOD + "[tolerance]\nfuture_s_of = { hc1 = 9 }\n", ["tolerance.future_s_of", "hc1"]),
        (GOOD + "[camera]\n", ["key camera: ", "array", "object"]),
        (GOOD + "[[camera]]\nrotation = 45\n", ["camera[0].rotation", "allowed: 0, 90, 180, 270"]),
        ("colour = 1\n" + GOOD, ["colour", "allowed: gate, camera, scan"]),
        ('[gate]\nsite = "Ä b"\ngate = "g"\n', ["gate.site"]),
        (GOOD + '[mqtt]\nurl = "http://x"\n', ["mqtt.url", "allowed are mqtt://"]),
        (GOOD + '[mqtt]\nurl = "mqtt://x:99999"\n', ["mqtt.url", "0-65535"]),
        (GOOD + '[mqtt]\ncollector_key = "abcd"\n', ["mqtt.collector_key", "64 hexadecimal"]),
        (
            GOOD + f'[mqtt]\ncollector_key = "{"AB" * 32}"\n',
            ["mqtt.collector_key", "small letters"],
        ),
        (GOOD + f'[mqtt]\ncollector_key = "{"ab" * 32}\\n"\n', ["mqtt.collector_key", "64 hexa"]),
        (GOOD + '[mqtt]\nversion = "4"\n', ["mqtt.version"]),
        ('base_dir = "/x"\n' + GOOD, ["base_dir", "allowed: gate, camera"]),
        (GOOD + 'region = "Berlin"\n', ["gate.region", "'Berlin'", "ISO 3166-2"]),
        (GOOD + "[gpio]\npassage_2 = 4\npassage = false\n", ["gpio.passage_2", "gpio.passage"]),
        (GOOD + 'direction = "both"\n', ["gate.direction", "gpio.passage_2"]),
        (GOOD + "free_exit = true\n", ["gate.free_exit", "gpio.passage_2"]),
        (
            GOOD + 'free_exit = true\ndirection = "out"\n[gpio]\npassage_2 = 4\n',
            ["gate.free_exit", "open outwards"],
        ),
        (GOOD + '[gpio]\nfire = "no"\n', ["gpio.fire", "`false` where it is not fitted"]),
        ('[gate]\nsite = "X"\ngate = "g"\n', ["gate.site", "lower-case letters"]),
        (GOOD + "[camera]\n", ["[[camera]]"]),
        (GOOD + "[[camera]]\nfps = 0.1\n", ["camera.timeout_s", "each 10 s"]),
        (GOOD + "[[camera]]\nexposure_values = [nan]\n", ["camera[0].exposure_values[0]"]),
        (GOOD + '[trust]\nurl = "https://x"\n', ["trust.url", "trust.signed = true"]),
        (
            GOOD + '[trust]\nsigned = true\nurl = "/media/stick"\nca = "ca.pem"\n',
            ["trust.ca", "https trust.url"],
        ),
        (GOOD + '[mqtt]\ncert_file = "x"\n', ["mqtt.key_file", "cert_file"]),
        (GOOD + '[mqtt]\nurl = "mqtt://x"\nca_file = "x"\n', ["mqtt.ca_file", "mqtts://"]),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, text: str, words: list[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_an_unreadable_file_is_one_clear_line(tmp_path, content: bytes | None) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        NO_CAMERA,
        ENGINE,
        ENGINE + '[face]\n[[camera]]\nserves = "face"\n',
        GENERIC + 'suffix = ""\n',
    ],
    ids=["no camera", "beside a camera", "a camera for faces", "by silence"],
)
def test_with_a_scan_engine_no_camera_need_serve_codes(text: str) -> None:
    assert parse(text, source="text").scan_engine is not None


def test_what_is_not_fitted_is_switched_off_and_never_left_out() -> None:
    """A forgotten line shows at once as an alarm; TOML has no null to say that it is not there."""
    config = parse(GOOD + "[gpio]\nfire = false\npassage = false\nkey = false\n", source="text")
    assert (config.gpio.fire, config.gpio.passage, config.gpio.key) == (None, None, None)
    assert (config.gpio.tamper, config.gpio.relay) == (13, 17)


def test_parse_without_a_file() -> None:
    assert parse(GOOD, source="text").gate.site == "st1"


@pytest.mark.parametrize("name", ["site.key", "osdp.key"])
def test_secrets_come_from_the_service_manager_where_it_has_them(
    tmp_path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A key of the site and one of the bus: each read where systemd's LoadCredential puts it."""
    handed = tmp_path / "handed"
    handed.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    assert secret_path(name, tmp_path) == tmp_path / name
    (handed / name).write_bytes(bytes(32))
    assert secret_path(name, tmp_path) == handed / name
    text = GOOD + '[trust]\nsite_key_files = ["site.key"]\n'
    if name == "site.key":
        assert site_keys(parse(text, source="text", base_dir=tmp_path)) == (bytes(32),)


def test_who_may_not_read_the_file_learns_who_may(tmp_path) -> None:
    """/etc/idgate is for the gate's own user; an installer calls as himself."""
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    path.chmod(0)
    as_root = os.geteuid() == 0
    if as_root:
        os.seteuid(65_534)
    try:
        with pytest.raises(ConfigError, match="sudo -u idgate idgate"):
            load(path)
    finally:
        if as_root:
            os.seteuid(0)
