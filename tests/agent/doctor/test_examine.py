"""The doctor: one finding a part, with a remedy, and an exit code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from PIL import Image

from agent.cli import main
from agent.issuing.issue import new_issuer
from agent.journal.journal import Journal
from hal.simulated.pinboard import PinBoard
from tests.support.paths import ROOT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    issuer = new_issuer("lib", "ES256")
    (tmp_path / "trust").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "trust" / "lib.pem").write_bytes(issuer.key.public_pem())
    with PinBoard(tmp_path / "pins") as board:
        board.drive(6, level=False)
        board.drive(13, level=False)
    path = tmp_path / "config.toml"
    path.write_text(
        """
state_dir = "state"
[gate]
site = "s"
gate = "g"
[[camera]]
driver = "simulated"
[gpio]
driver = "simulated"
[simulation]
pins_file = "pins"
"""
    )
    return path


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def findings(capsys, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = main(["doctor", "--json", *words])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, {line["part"]: line for line in lines}


def test_a_sound_gate(config: Path, capsys) -> None:
    code, found = findings(capsys, "--config", str(config))
    assert code == 0, found
    states = {part: line["state"] for part, line in found.items()}
    assert states["camera"] == states["gpio"] == states["trust"] == "ok"
    assert states["broker"] == states["finger"] == states["models"] == "skipped"
    assert found["profile"]["detail"].endswith("; sign for phones: idgate:s/g?need=")


def _no_trust(folder: Path) -> None:
    (folder / "trust" / "lib.pem").unlink()


def _bad_trust(folder: Path) -> None:
    (folder / "trust" / "lib.pem").write_text("x")


def _foreign_file(folder: Path) -> None:
    (folder / "trust" / "Thumbs.db").write_bytes(b"x")


def _ends(days: int) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        end = int(time.time()) + days * 86_400 + 3_600
        (folder / "trust" / "old.pem").write_bytes((folder / "trust" / "lib.pem").read_bytes())
        (folder / "trust" / "old.toml").write_text(f"valid_until = {end}\n")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_ends(12), "issuer old: expires in 12 days"),
        (_ends(-3), "issuer old: expired 3 days ago"),
        (_ends(31), ""),
    ],
)
def test_an_issuer_that_ends_is_named(config: Path, capsys, spoil, said: str) -> None:
    spoil(config.parent)
    _, found = findings(capsys, "--config", str(config))
    assert (found["dates"]["state"] == "ok") == (not said)
    assert said in found["dates"]["detail"]


def test_a_file_that_is_no_key_is_named(config: Path, capsys) -> None:
    _foreign_file(config.parent)
    _, found = findings(capsys, "--config", str(config))
    assert found["trust"]["state"] == "warning"
    assert "; set aside Thumbs.db: an unknown kind of file; " in found["trust"]["detail"]


def test_many_that_are_set_aside_are_counted(config: Path, capsys) -> None:
    for number in range(11):
        (config.parent / "trust" / f"{number:02}.db").write_bytes(b"x")
    _, found = findings(capsys, "--config", str(config))
    told = found["trust"]["detail"]
    assert told.count("set aside") == 8
    assert told.endswith("; and 3 more")


def _asks_for_a_finger(folder: Path) -> None:
    (folder / "trust" / "profiles").mkdir()
    (folder / "trust" / "profiles" / "door.toml").write_text(
        'name = "door"\ntitle = "t"\nkinds = ["passport"]\nbiometric = "finger"\n'
    )
    _set('gate = "g"', 'gate = "g"\nprofile = "door"')(folder)


def _no_state(folder: Path) -> None:
    (folder / "state").rmdir()


def _broken_journal(folder: Path) -> None:
    (folder / "state" / "journal.sqlite").write_bytes(b"no database" * 500)


def _open_loop(folder: Path) -> None:
    with PinBoard(folder / "pins") as board:
        board.drive(6, level=True)


def _sees(picture: Image.Image):
    def spoil(folder: Path) -> None:
        picture.save(folder / "view.png")
        _set("[simulation]", '[simulation]\nframes = "view.png"')(folder)

    return spoil


def _board_says(text: str):
    def spoil(folder: Path) -> None:
        (folder / "board").write_text(text)
        _set("[simulation]", '[board]\ndriver = "simulated"\n[simulation]\nboard_file = "board"')(
            folder
        )

    return spoil


BLACK = Image.new("L", (1280, 720), 1)
SOFT = Image.fromarray(
    np.tile(np.rint(128 - 90 * np.cos(np.arange(1280) / 60)).astype(np.uint8), (720, 1))
)


def _set(old: str, new: str):
    def spoil(folder: Path) -> None:
        path = folder / "config.toml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "part", "state"),
    [
        (_no_trust, "trust", "failed"),
        (_bad_trust, "trust", "failed"),
        (_foreign_file, "trust", "warning"),
        (_ends(12), "dates", "warning"),
        (_ends(-3), "dates", "failed"),
        (_no_state, "disk", "failed"),
        (_broken_journal, "journal", "failed"),
        (_open_loop, "gpio", "warning"),
        (_board_says("throttled=1"), "board", "failed"),
        (_board_says("throttled=10000"), "board", "warning"),
        (_board_says("throttled=40000"), "board", "warning"),
        (_board_says("temperature_c=80"), "board", "warning"),
        (_board_says("nonsense"), "board", "failed"),
        (_sees(BLACK), "camera", "warning"),
        (_sees(SOFT), "camera", "warning"),
        (_asks_for_a_finger, "profile", "failed"),
        (_set('gate = "g"', 'gate = "g"\nprofile = "railway"'), "profile", "failed"),
        (_set('gate = "g"', 'gate = "g"\nprofile = "nowhere"'), "profile", "failed"),
        (_set('[[camera]]\ndriver = "simulated"', "[[camera]]"), "camera", "failed"),
        (_set('[gpio]\ndriver = "simulated"', "[gpio]"), "gpio", "failed"),
        (
            _set("[simulation]", '[mqtt]\nurl = "mqtt://127.0.0.1:9"\n[simulation]'),
            "broker",
            "warning",
        ),
        (_set("[simulation]", '[mqtt]\nca_file = "no.pem"\n[simulation]'), "broker", "failed"),
    ],
)
def test_each_fault_is_found_with_a_remedy(
    config: Path, capsys, spoil, part: str, state: str
) -> None:
    spoil(config.parent)
    code, found = findings(capsys, "--config", str(config))
    assert found[part]["state"] == state, found
    assert found[part]["remedy"]
    assert code == (1 if state == "failed" else 0)


def test_a_ca_of_the_trust_server_that_cannot_be_used_is_named(config: Path, capsys) -> None:
    words = '[trust]\nsigned = true\nurl = "https://desk:8444/trust"\nca = "desk-ca.pem"\n'
    _set("[simulation]", f"{words}[simulation]")(config.parent)
    for content, why in ((None, "cannot be read: No such file"), (b"junk", "no certificates")):
        if content is not None:
            (config.parent / "desk-ca.pem").write_bytes(content)
        _, found = findings(capsys, "--config", str(config))
        assert found["trust"]["state"] == "failed"
        assert found["trust"]["detail"].startswith("key trust.ca: ")
        assert why in found["trust"]["detail"]


def test_a_board_says_how_it_is_or_nothing(config: Path, capsys) -> None:
    _, found = findings(capsys, "--config", str(config))
    assert found["board"]["state"] in {"ok", "warning", "skipped"}, "the machine of the test"
    _board_says("throttled=0 temperature_c=52.4")(config.parent)
    _, found = findings(capsys, "--config", str(config))
    assert found["board"]["detail"] == "no under-voltage, 52 degrees"
    (config.parent / "board").write_text("")
    _, found = findings(capsys, "--config", str(config))
    assert found["board"]["state"] == "skipped"


def test_a_loop_that_is_not_fitted_is_switched_off_as_the_remedy_says(config: Path, capsys) -> None:
    _open_loop(config.parent)
    _, found = findings(capsys, "--config", str(config))
    key, _, value = found["gpio"]["remedy"].partition("gpio.")[2].partition(" = ")
    _set('[gpio]\ndriver = "simulated"', f'[gpio]\ndriver = "simulated"\n{key} = {value}')(
        config.parent
    )
    code, found = findings(capsys, "--config", str(config))
    assert (code, found["gpio"]["state"]) == (0, "ok")
    assert key not in found["gpio"]["detail"]


def test_it_leaves_a_running_gates_hardware_alone(config: Path, capsys) -> None:
    _, found = findings(capsys, "--config", str(config), "--no-hardware")
    assert found["camera"]["state"] == found["gpio"]["state"] == "skipped"


def test_it_moves_nothing(config: Path, capsys) -> None:
    findings(capsys, "--config", str(config))
    with PinBoard(config.parent / "pins") as board:
        outputs = {17, 27, 22, 23, 24}
        assert [edge for edge in board.edges() if edge.pin in outputs] == []


def test_text_says_what_to_do(config: Path, capsys) -> None:
    _no_trust(config.parent)
    assert main(["doctor", "--config", str(config)]) == 1
    out = capsys.readouterr().out
    assert "FAIL  trust" in out
    assert "-> put issuer keys into the trust directory" in out


def test_no_settings_is_usage(tmp_path: Path, capsys) -> None:
    assert main(["doctor", "--config", str(tmp_path / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_secrets_that_the_service_manager_hands_over_are_there(
    config: Path, capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = '[mqtt]\nurl = "mqtt://127.0.0.1:9"\nusername = "g"\npassword_file = "mqtt-password"\n'
    _set("[simulation]", f"{table}[simulation]")(config.parent)
    code, found = findings(capsys, "--config", str(config))
    assert (code, found["broker"]["state"]) == (1, "failed")
    assert "mqtt-password" in found["broker"]["detail"]
    handed = tmp_path / "handed"
    handed.mkdir()
    (handed / "mqtt-password").write_text("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    assert findings(capsys, "--config", str(config))[1]["broker"]["state"] == "warning"


@pytest.mark.parametrize("pin", [5, 19])
def test_an_input_that_is_stuck_is_told(config: Path, capsys, pin: int) -> None:
    with PinBoard(config.parent / "pins") as board:
        board.drive(pin, level=False)
    code, found = findings(capsys, "--config", str(config))
    assert (code, found["gpio"]["state"]) == (0, "warning")
    assert {5: "passage", 19: "release"}[pin] in found["gpio"]["detail"]


@pytest.mark.broker
@pytest.mark.parametrize(
    ("anonymous", "state", "told"), [("true", "ok", "lets this gate in"), ("false", "failed", "refuses")]
)  # fmt: skip
def test_the_broker_is_asked_whether_it_lets_the_gate_in(
    config: Path, capsys, mosquitto, anonymous: str, state: str, told: str
) -> None:
    broker = mosquitto(f"allow_anonymous {anonymous}")
    _set("[simulation]", f'[mqtt]\nurl = "{broker.url}"\n[simulation]')(config.parent)
    _, found = findings(capsys, "--config", str(config))
    assert found["broker"]["state"] == state
    assert told in found["broker"]["detail"]
    if state == "ok":
        assert "idgate-s-g-doctor" in broker.log()  # a running daemon keeps its connection


@pytest.mark.broker
@pytest.mark.parametrize(
    ("url", "ca", "cert", "key", "told"),
    [
        ("mqtts://127.0.0.1", "ca", "g", "g", ""),
        ("mqtts://127.0.0.1", "", "g", "g", "self-signed certificate"),
        ("mqtts://localhost", "ca", "g", "g", "not valid for 'localhost'"),
        ("mqtts://127.0.0.1", "ca", "g", "server", "KEY_VALUES_MISMATCH"),
        ("mqtts://127.0.0.1", "ca", "", "", "ends the connection"),
        ("mqtt://127.0.0.1", "", "", "", "ends the connection"),
    ],
)
def test_what_stands_between_the_gate_and_a_broker_with_certificates_is_named(
    config: Path, capsys, mosquitto, free_port: int, url: str, ca: str, cert: str, key: str, told: str
) -> None:  # fmt: skip
    certs = config.parent / "certs"
    script = ROOT / "docs" / "fleet" / "certificates.sh"
    subprocess.run([script, certs, "127.0.0.1", "g"], check=True, capture_output=True)
    mosquitto(
        f"allow_anonymous false\nlistener {free_port} 127.0.0.1\ncafile {certs}/ca.crt\n"
        f"certfile {certs}/server.crt\nkeyfile {certs}/server.key\nrequire_certificate true\n"
        "use_identity_as_username true"
    )
    names = (("ca_file", ca, "crt"), ("cert_file", cert, "crt"), ("key_file", key, "key"))
    files = "".join(f'{word} = "certs/{name}.{kind}"\n' for word, name, kind in names if name)
    _set("[simulation]", f'[mqtt]\nurl = "{url}:{free_port}"\n{files}[simulation]')(config.parent)
    code, found = findings(capsys, "--config", str(config))
    assert (code, found["broker"]["state"]) == ((1, "failed") if told else (0, "ok"))
    assert told in found["broker"]["detail"]
    assert bool(told) == bool(found["broker"]["remedy"])


def test_a_key_with_a_passphrase_is_named_and_nobody_is_asked_for_it(
    config: Path, capsys, mosquitto, free_port: int
) -> None:
    certs = config.parent / "certs"
    script = ROOT / "docs" / "fleet" / "certificates.sh"
    subprocess.run([script, certs, "127.0.0.1", "g"], check=True, capture_output=True)
    lock = [
        "openssl",
        "pkey",
        "-in",
        "g.key",
        "-out",
        "locked.key",
        "-aes256",
        "-passout",
        "pass:x",
    ]
    subprocess.run(lock, cwd=certs, check=True, capture_output=True)
    files = 'ca_file = "certs/ca.crt"\ncert_file = "certs/g.crt"\nkey_file = "certs/locked.key"\n'
    _set("[simulation]", f'[mqtt]\nurl = "mqtts://127.0.0.1:{free_port}"\n{files}[simulation]')(
        config.parent
    )
    mosquitto(f"listener {free_port} 127.0.0.1\nallow_anonymous true")
    code, found = findings(capsys, "--config", str(config))
    assert (code, found["broker"]["state"]) == (1, "failed")
    assert f"{certs}/locked.key: the key has a passphrase" in found["broker"]["detail"]


@pytest.mark.parametrize(
    ("days", "state", "told"),
    [
        (400, "ok", "certs/g.crt: expires in "),
        (13, "warning", "certs/g.crt: expires in 13 days"),
        (-2, "failed", "certs/g.crt: expired 2 days ago"),
    ],
)
def test_what_ends_soon_is_named(config: Path, capsys, days: int, state: str, told: str) -> None:
    certs = config.parent / "certs"
    certs.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "g")])
    until = datetime.now(UTC) + timedelta(days=days, hours=1 if days > 0 else -1)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(until - timedelta(days=900)).not_valid_after(until)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (certs / "g.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (certs / "g.key").write_bytes(b"")
    _set(
        "[simulation]",
        '[mqtt]\nurl = "mqtts://127.0.0.1:9"\ncert_file = "certs/g.crt"\n'
        'key_file = "certs/g.key"\n[simulation]',
    )(config.parent)
    _, found = findings(capsys, "--config", str(config))
    assert (found["dates"]["state"], told in found["dates"]["detail"]) == (state, True)
    assert bool(found["dates"]["remedy"]) is (state != "ok")


def test_it_looks_at_the_settings_that_are_in_force(config: Path, capsys) -> None:
    kept = config.parent / "state" / "desired.json"
    kept.write_text('{"version":3,"values":{"gate.profile":"railway"}}')
    code, found = findings(capsys, "--config", str(config))
    assert (code, found["profile"]["state"]) == (1, "failed")
    assert f"desired by the fleet in version 3, kept in {kept}" in found["profile"]["detail"]


def test_a_journal_that_was_set_aside_is_told(config: Path, capsys) -> None:
    with Journal.open(config.parent / "state" / "journal.sqlite"):
        pass
    (config.parent / "state" / "journal.sqlite.corrupt-001").write_bytes(b"x")
    code, found = findings(capsys, "--config", str(config))
    assert (code, found["journal"]["state"]) == (0, "warning")
    assert "journal.sqlite.corrupt-001" in found["journal"]["detail"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize(
    ("options", "told"), [("size=1m", "nobody is let in by code"), ("size=64m,ro", "read-only")]
)
def test_a_disk_that_takes_nothing_is_a_failure(
    config: Path, capsys, options: str, told: str
) -> None:
    state = config.parent / "state"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", state], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this root may not mount")
    try:
        code, found = findings(capsys, "--config", str(config))
    finally:
        subprocess.run(["umount", state], check=True)
    assert (code, found["disk"]["state"]) == (1, "failed")
    assert told in found["disk"]["detail"]
    assert found["disk"]["remedy"]


def test_simulated_drivers_and_pins_of_a_bus_are_warnings_only(config: Path, capsys) -> None:
    _, found = findings(capsys, "--config", str(config), "--no-hardware")
    assert (found["drivers"]["state"], found["pins"]["state"]) == ("ok", "skipped")
    config.write_text(config.read_text().replace('[gpio]\ndriver = "simulated"', "[gpio]\nred = 0"))
    code, found = findings(capsys, "--config", str(config), "--no-hardware")
    assert code == 0
    assert (found["drivers"]["state"], found["pins"]["state"]) == ("warning", "warning")
    assert "camera code" in found["drivers"]["detail"]
    assert "gpio.red: GPIO0" in found["pins"]["detail"]
