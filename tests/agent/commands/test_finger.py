"""`idgate finger` as an installer uses it: the real command, the real driver, a module on a pty."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from agent import cli
from agent.biometrics.finger.table import EnrolmentTable
from agent.daemon.finger import look_at_sensor
from agent.settings.load import load
from hal.simulated.fingerprint_fingers import Condition
from hal.simulated.fingerprint_script import Touch

WHO = ("--issuer", "city", "--subject", "subject-of-anna")
OTHER = ("--issuer", "city", "--subject", "subject-of-boris")


class Desk:
    """Settings on a disk, a module on a pty, and somebody at a terminal."""

    def __init__(self, directory: Path, module, port: str, capsys) -> None:
        self.directory, self.module, self.port, self._capsys = directory, module, port, capsys
        self.settings()

    def settings(self, **keys: str) -> None:
        lines = [f'{key} = "{value}"' for key, value in {"port": self.port, **keys}.items()]
        text = '[gate]\nsite = "s"\ngate = "g"\n[finger]\n' + "\n".join(lines) + "\n"
        self.path.write_text(text.replace('baud = "9600"', "baud = 9600"))

    @property
    def path(self) -> Path:
        return self.directory / "config.toml"

    @property
    def table(self) -> EnrolmentTable:
        return EnrolmentTable(self.directory / "fingers.json")

    def __call__(self, *words: object, touches: tuple[Touch | str, ...] = ()) -> tuple[int, str]:
        self.module.glass.clear()
        self.module.glass.expect(
            *(Touch(each, after_polls=0) if isinstance(each, str) else each for each in touches)
        )
        code = cli.main(["finger", str(words[0]), "--config", str(self.path), *map(str, words[1:])])
        captured = self._capsys.readouterr()
        return code, captured.out + captured.err


@pytest.fixture
def desk(plug, tmp_path, capsys) -> Desk:
    module, port = plug()
    return Desk(tmp_path, module, port, capsys)


class TestEnroll:
    def test_with_prompts(self, desk):
        code, text = desk("enroll", *WHO, touches=("anna", "anna"))
        assert code == 0, text
        said = ["Lay the finger", "Lift it", "the same finger", "enrolled in slot 0"]
        assert [text.index(words) for words in said] == sorted(text.index(words) for words in said)
        (row,) = desk.table.rows()
        assert (row.slot, row.staff) == (0, False)
        assert list(desk.module.module.library) == [0]

    def test_nothing_biometric_and_no_name_is_on_our_disk(self, desk):
        desk("enroll", *WHO, touches=("anna", "anna"))
        template = desk.module.module.library[0]
        for path in desk.directory.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert b"anna" not in content
            assert template[:40] not in content
            assert template[:40].hex().encode() not in content
        assert (desk.directory / "fingers.json").stat().st_mode & 0o077 == 0

    def test_a_wet_touch_is_told_and_repeated(self, desk):
        wet = Touch("anna", Condition.WET)
        tip = Touch("anna", Condition.TIP)
        code, text = desk("enroll", *WHO, touches=(wet, "anna", tip, "anna"))
        assert code == 0
        assert "dry the finger" in text
        assert "lay it flat" in text

    @pytest.mark.parametrize(
        ("touches", "words"),
        [
            ((), "nobody laid a finger"),
            (("anna",), "nobody laid a finger"),
            (("anna", "boris", "anna", "boris"), "different fingers"),
            ((Touch("anna", Condition.WET),) * 5, "no touch was good"),
            ((Touch("anna", captures=1_000),), "not lifted"),
        ],
    )
    def test_it_fails(self, desk, touches, words):
        code, text = desk("enroll", *WHO, "--timeout", 0.2, touches=touches)
        assert code == 1
        assert words in text
        assert desk.module.module.library == {}
        assert desk.table.rows() == ()

    def test_two_different_touches_begin_anew(self, desk):
        code, _ = desk("enroll", *WHO, touches=("anna", "boris", "anna", "anna"))
        assert code == 0

    def test_a_finger_is_enrolled_once(self, desk):
        desk("enroll", *WHO, touches=("anna", "anna"))
        code, text = desk("enroll", *OTHER, touches=("anna", "anna"))
        assert (code, "in slot 0 already" in text) == (1, True)

    def test_a_slot_in_use_is_not_overwritten(self, desk):
        desk("enroll", *WHO, "--slot", 7, touches=("anna", "anna"))
        code, text = desk("enroll", *OTHER, "--slot", 7, touches=("boris", "boris"))
        assert (code, "in use" in text) == (1, True)
        assert desk("enroll", *OTHER, "--slot", 200)[0] == 1

    @pytest.mark.parametrize("who", [(), ("--issuer", "city"), ("--subject", "x")])
    def test_whose_finger(self, desk, who):
        assert desk("enroll", *who)[0] == 2

    def test_a_subject_typed_at_the_terminal(self, desk, monkeypatch):
        monkeypatch.setattr("builtins.input", lambda _prompt: "subject-of-anna")
        desk("enroll", "--issuer", "city", "--subject", "-", touches=("anna", "anna"))
        assert desk("verify", *WHO, touches=("anna",))[0] == 0


class TestVerify:
    @pytest.fixture(autouse=True)
    def _enrolled(self, desk):
        desk("enroll", *WHO, touches=("anna", "anna"))

    @pytest.mark.parametrize(("finger", "code"), [("anna", 0), ("boris", 1)])
    def test_one_to_one(self, desk, finger, code):
        assert desk("verify", *WHO, touches=(finger,))[0] == code

    @pytest.mark.parametrize(("finger", "code"), [("anna", 0), ("boris", 1)])
    def test_search(self, desk, finger, code):
        assert desk("verify", touches=(finger,))[0] == code

    def test_not_enrolled(self, desk):
        code, text = desk("verify", *OTHER)
        assert (code, "not enrolled" in text) == (1, True)


class TestListAndDelete:
    @pytest.fixture(autouse=True)
    def _enrolled(self, desk):
        desk("enroll", *WHO, touches=("anna", "anna"))
        desk("enroll", *OTHER, "--staff", touches=("boris", "boris"))

    def test_list(self, desk):
        code, text = desk("list", "--json")
        rows = json.loads(text)
        assert code == 0
        assert [(row["slot"], row["staff"], row["in_module"]) for row in rows] == [
            (0, False, True), (1, True, True),
        ]  # fmt: skip
        assert all(re.fullmatch(r"[0-9a-f]{32}", row["subject"]) for row in rows)
        assert "2 of 200" in desk("list")[1]

    def test_list_shows_what_does_not_go_together(self, desk):
        library = desk.module.module.library
        library[9] = library.pop(0)
        text = desk("list")[1]
        assert "the module does not hold it" in text
        assert "enrolled past this gate" in text

    @pytest.mark.parametrize(
        ("words", "left"), [(("--slot", 0), [1]), (WHO, [1]), (("--all",), [])]
    )
    def test_delete(self, desk, words, left):
        assert desk("delete", *words)[0] == 0
        assert sorted(desk.module.module.library) == left
        assert [row.slot for row in desk.table.rows()] == left

    def test_delete_nothing(self, desk):
        assert desk("delete", "--slot", 55)[0] == 1
        assert desk("delete")[0] == 2
        assert desk("delete", "--all", "--slot", 1)[0] == 2


class TestExport:
    def test_it_must_be_said(self, desk, tmp_path):
        code, text = desk("export", "--out", tmp_path / "t", touches=("anna", "anna"))
        assert (code, "biometric" in text) == (2, True)
        assert not (tmp_path / "t").exists()

    def test_from_the_glass_into_a_credential(self, desk, tmp_path):
        out = tmp_path / "t.bin"
        code, text = desk("export", "--biometric", "--out", out, touches=("anna", "anna"))
        assert code == 0, text
        assert len(out.read_bytes()) == 1_536
        assert out.stat().st_mode & 0o077 == 0
        assert desk.module.module.library == {}

    def test_from_a_slot(self, desk, tmp_path):
        desk("enroll", *WHO, touches=("anna", "anna"))
        out = tmp_path / "t.bin"
        assert desk("export", "--biometric", "--slot", 0, "--out", out)[0] == 0
        assert out.read_bytes() == desk.module.module.library[0]
        assert desk("export", "--biometric", "--slot", 5, "--out", tmp_path / "u")[0] == 1
        assert not (tmp_path / "u").exists()

    def test_a_file_is_not_overwritten(self, desk, tmp_path):
        out = tmp_path / "t.bin"
        out.write_bytes(b"kept")
        code, text = desk("export", "--biometric", "--out", out, touches=("anna", "anna"))
        assert (code, "exists" in text, "Lay the finger" in text) == (2, True, False)
        assert out.read_bytes() == b"kept"


class TestPair:
    def test_pair_and_use(self, desk):
        desk.settings(pairing_file="pair.hex", password_file="password.hex")
        assert desk("list")[0] == 2  # the files are not there yet, and it says how to make them
        assert desk("pair", "--password")[0] == 0
        assert desk.module.module.password != bytes(4)
        assert (
            desk.module.module.notes[0].hex() == (desk.directory / "pair.hex").read_text().strip()
        )
        assert (desk.directory / "password.hex").stat().st_mode & 0o077 == 0
        assert desk("list")[0] == 0
        assert desk("pair", "--password")[0] == 0  # again: from the old password to a new one
        assert desk("list")[0] == 0

    def test_an_exchanged_module_is_refused(self, desk):
        desk.settings(pairing_file="pair.hex")
        desk("pair")
        desk.module.module.notes.clear()
        code, text = desk("list")
        assert (code, "exchanged" in text) == (3, True)

    def test_an_exchanged_module_with_the_factory_password(self, desk):
        desk.settings(pairing_file="pair.hex", password_file="password.hex")
        desk("pair", "--password")
        desk.module.module.password = bytes(4)
        code, text = desk("list")
        assert (code, "password" in text) == (3, True)

    def test_no_file_to_write_to(self, desk):
        assert desk("pair")[0] == 2


class TestTest:
    def test_good(self, desk):
        code, text = desk("test", touches=("anna",))
        assert code == 0, text
        assert "1536 bytes" in text
        assert "light: waiting" in text

    def test_wrong_speed(self, desk):
        desk.settings(baud="9600")
        problem, _ = look_at_sensor(load(desk.path))
        assert problem == "the module answers at 57600 baud, finger.baud is 9600"

    def test_no_module(self, desk):
        desk.settings(port=str(desk.directory / "serial0"))
        code, text = desk("test")
        assert (code, "serial0" in text) == (1, True)

    @pytest.mark.parametrize("action", ["list", "test", "pair"])
    def test_no_table_finger(self, desk, action):
        desk.path.write_text('[gate]\nsite = "s"\ngate = "g"\n')
        assert desk(action)[0] == 2

    def test_a_doctor_sees_the_same(self, desk):
        problem, detail = look_at_sensor(load(desk.path))
        assert problem == ""
        assert "0 of 200 slots in use" in detail
        assert "not paired" in detail


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work on another's files")
def test_root_leaves_no_files_that_the_daemon_cannot_read(desk):
    os.chown(desk.directory, 65_534, 65_534)
    code, text = desk("enroll", *WHO, touches=("anna", "anna"))
    assert code == 2
    assert "sudo -u " in text
    assert not (desk.directory / "fingers.json").exists()
    assert not (desk.directory / "subject.key").exists()


def test_the_simulated_driver_by_name(tmp_path, capsys):
    """No hardware at all: a script touches the glass, a file is the module's flash."""
    script = tmp_path / "fingers.toml"
    script.write_text(
        'variant = "r307"\nflash = "module.json"\n'
        + '[[touch]]\nfinger = "anna"\nafter_polls = 1\n' * 2
    )
    config = tmp_path / "config.toml"
    config.write_text(
        '[gate]\nsite = "s"\ngate = "g"\n[finger]\ndriver = "simulated"\nfamily = "r307"\n'
        '[simulation]\nsensor_script = "fingers.toml"\n'
    )
    enrolled = cli.main(["finger", "enroll", "--config", str(config), *WHO])
    assert enrolled == 0, capsys.readouterr().err
    assert cli.main(["finger", "verify", "--config", str(config), *WHO]) == 0
    script.write_text(script.read_text().replace("anna", "boris"))
    assert cli.main(["finger", "verify", "--config", str(config), *WHO]) == 1
    script.write_text("speed = 3")
    assert cli.main(["finger", "list", "--config", str(config)]) == 3
    assert "sensor_script" in capsys.readouterr().err
