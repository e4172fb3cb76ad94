"""`idgate verify`: the gate's own verdict on the command line, and never a word too much."""

from __future__ import annotations

import io
import json
import random
import select
import string
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from agent.cli import main
from agent.clock.moment import moment_text
from agent.issuing.issue import Holder, Issuer, new_issuer, present, qr_png, sign_credential
from agent.scan.scanner import ScanError

NOW = int(time.time())
DAY = 86_400
KEYS = {
    "decision", "reason", "format", "issuer", "kind", "level", "valid_from", "valid_until",
    "timings_ms",
}  # fmt: skip


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    made = new_issuer("lib", "EdDSA")
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "lib.pem").write_bytes(made.key.public_pem())
    (tmp_path / "trust" / "lib.toml").write_text(made.trust_toml())
    return made


def code(
    issuer: Issuer, *, at: int = NOW, kind: str = "library-card", name: str = "Lin Wei"
) -> str:
    holder = Holder.new()
    credential = sign_credential(
        issuer,
        holder,
        subject="s-1",
        issued_at=at - DAY,
        valid_until=at + DAY,
        kind=kind,
        birth_date="1999-01-02",
        identity={4: name},
    )
    return present(credential, holder, at=at)


def verify(capsys, *words: str) -> tuple[int, list[dict], str]:
    status = main(["verify", "--json", *words])
    captured = capsys.readouterr()
    return status, [json.loads(line) for line in captured.out.splitlines()], captured.err


def test_a_good_code_is_granted_without_personal_data(tmp_path, issuer, capsys) -> None:
    payload = code(issuer)
    status, (line,), _ = verify(
        capsys, "--trust", str(tmp_path / "trust"), "--at", str(NOW), payload
    )
    assert status == 0
    assert set(line) >= KEYS
    assert (line["decision"], line["reason"]) == ("granted", "granted")
    assert (line["format"], line["issuer"], line["kind"]) == ("native", "lib", "library-card")
    text = json.dumps(line)
    assert "Lin" not in text
    assert "1999" not in text
    assert "s-1" not in text


def test_claims_are_shown_when_asked_for(tmp_path, issuer, capsys) -> None:
    _, (line,), _ = verify(
        capsys, "--trust", str(tmp_path / "trust"), "--at", str(NOW), "--show-claims", code(issuer)
    )
    assert line["subject"] == "s-1"
    assert line["birth_date"] == "1999-01-02"
    assert "Lin Wei" in json.dumps(line["claims"])


@pytest.mark.parametrize(
    ("later_s", "kind", "site", "reason"),
    [
        (60, "library-card", "library", "stale"),
        (10 * DAY, "library-card", "library", "expired"),
        (-60, "library-card", "library", "issued_in_future"),
        (0, "driving-licence", "library", "kind_not_accepted"),
        (0, "online-id", "railway", "level_too_low"),
    ],
)
def test_what_the_gate_would_deny(tmp_path, issuer, capsys, later_s, kind, site, reason) -> None:
    status, (line,), _ = verify(
        capsys, "--trust", str(tmp_path / "trust"), "--at", str(NOW + later_s), "--site", site,
        code(issuer, kind=kind),
    )  # fmt: skip
    assert status == 1
    assert (line["decision"], line["reason"]) == ("denied", reason)


def test_a_line_of_standard_input_is_answered_by_a_line(
    tmp_path, issuer, capsys, monkeypatch
) -> None:
    noise = "".join(random.Random(1).choices(string.printable[:94], k=4296))
    lines = [code(issuer), "", "NI1:", noise, "HC1:6BF"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
    status, answers, _ = verify(capsys, "--trust", str(tmp_path / "trust"), "--at", str(NOW), "-")
    assert status == 1
    assert [answer["decision"] for answer in answers] == ["granted"] + ["denied"] * 4
    assert answers[1]["reason"] == "unknown_format"
    assert answers[3]["reason"] == "unknown_format"


def test_each_line_of_a_pipe_is_answered_before_the_next(tmp_path, issuer) -> None:
    command = [sys.executable, "-m", "agent.cli", "verify", "--json", "--trust", "trust", "-"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for payload, reason in (
            (code(issuer, at=int(time.time())), "granted"),
            ("?", "unknown_format"),
        ):
            process.stdin.write(payload.encode() + b"\n")
            assert select.select([process.stdout], [], [], 20)[0], (
                "no answer while the pipe is open"
            )
            assert json.loads(process.stdout.readline())["reason"] == reason
        process.stdin.close()
        assert process.wait(10) == 1


def test_a_line_without_an_end_is_one_answer_and_little_memory(
    tmp_path, issuer, capsys, monkeypatch
) -> None:
    lines = b"7" * 3_000_000 + b"\r\nNI1:\n" + b"7" * 8_192 + b"\nx"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    _, answers, _ = verify(capsys, "--trust", str(tmp_path / "trust"), "-")
    assert len(answers) == 4
    assert [answer["reason"] for answer in answers][::3] == ["too_large", "unknown_format"]


def test_a_profile_of_the_trust_set_is_found(tmp_path, issuer, capsys) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[gate]\nsite = "s"\ngate = "g"\nprofile = "door"\n')
    (tmp_path / "trust" / "profiles").mkdir()
    (tmp_path / "trust" / "profiles" / "door.toml").write_text(
        'name = "door"\ntitle = "t"\nkinds = ["passport"]\n'
    )
    _, (line,), _ = verify(capsys, "--config", str(config), "--at", str(NOW), code(issuer))
    assert line["reason"] == "kind_not_accepted"


def test_a_picture(tmp_path, issuer, capsys) -> None:
    picture = tmp_path / "code.png"
    picture.write_bytes(qr_png(code(issuer)))
    words = ["--trust", str(tmp_path / "trust"), "--at", str(NOW), "--image"]
    status, (line,), _ = verify(capsys, *words, str(picture))
    assert (status, line["decision"]) == (0, "granted")
    picture.write_text("no picture")
    status, lines, err = verify(capsys, *words, str(picture))
    assert (status, lines) == (2, [])
    assert str(picture) in err


def test_a_picture_without_a_code_is_an_answer_as_for_scan(tmp_path, issuer, capsys) -> None:
    picture = tmp_path / "blank.png"
    Image.new("L", (200, 200), 255).save(picture)
    words = ["--trust", str(tmp_path / "trust"), "--image", str(picture)]
    status, lines, err = verify(capsys, *words)
    assert (status, lines) == (1, [])
    assert err == f"idgate verify: {picture}: no QR code found\n"
    assert main(["scan", str(picture)]) == 1


def test_a_decoder_that_does_not_start_is_told_as_by_scan(
    tmp_path, issuer, capsys, monkeypatch
) -> None:
    picture = tmp_path / "blank.png"
    Image.new("L", (200, 200), 255).save(picture)

    def missing(_scanner: object) -> None:
        raise ScanError("no decoder is installed")

    monkeypatch.setattr("agent.scan.scanner.Scanner.wait_ready", missing)
    words = ["--trust", str(tmp_path / "trust"), "--image", str(picture)]
    assert verify(capsys, *words)[0] == main(["scan", str(picture)]) == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "give one payload"),
        (["X"], "--config FILE or --trust DIR"),
        (["--trust", "/nowhere/at/all", "X"], "/nowhere/at/all"),
        (["--config", "/nowhere.toml", "X"], "/nowhere.toml"),
        (["--trust", "TRUST", "--site", "palace", "X"], "palace"),
    ],
)
def test_usage(tmp_path, issuer, capsys, words, complaint) -> None:
    words = [str(tmp_path / "trust") if word == "TRUST" else word for word in words]
    status, lines, err = verify(capsys, *words)
    assert (status, lines) == (2, [])
    assert complaint in err
    assert err.count("\n") == 1


def test_with_a_gates_own_settings(tmp_path, issuer, capsys) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[gate]\nsite = "s"\ngate = "g"\n')
    status, (line,), _ = verify(capsys, "--config", str(config), "--at", str(NOW), code(issuer))
    assert (status, line["decision"]) == (0, "granted")


def test_a_gate_with_a_display_asks_for_the_nonce_that_is_shown(tmp_path, issuer, capsys) -> None:
    settings = tmp_path / "config.toml"
    settings.write_text(
        '[gate]\nsite = "s"\ngate = "g"\nchallenge_file = "nonce"\n'
        '[[camera]]\ndriver = "simulated"\n[gpio]\ndriver = "simulated"\n'
    )
    holder = Holder.new()
    credential = sign_credential(
        issuer, holder, subject="s", issued_at=NOW - 1, valid_until=NOW + DAY, kind="library-card"
    )
    answer = present(credential, holder, at=NOW, challenge=b"12345678")
    words = ("--config", str(settings), "--at", str(NOW))
    status, rows, error = verify(capsys, *words, answer)
    assert (status, rows) == (2, [])
    assert "nonce: No such file" in error
    (tmp_path / "nonce").write_text(b"12345678".hex())
    assert verify(capsys, *words, answer)[0] == 0
    silent = present(credential, holder, at=NOW)
    assert verify(capsys, *words, silent)[1][0]["reason"] == "wrong_challenge"
    assert verify(capsys, *words, "--challenge", b"87654321".hex(), answer)[0] == 1


@pytest.mark.parametrize("gate", ["s", "s/", "/g"])
def test_a_gate_is_named_whole(capsys, gate: str) -> None:
    with pytest.raises(SystemExit) as left:
        main(["verify", "--trust", "trust", "--gate", gate, "x"])
    assert left.value.code == 2
    assert "SITE/GATE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "at", ["noon", "inf", "nan", "-inf", "1e30", "-1", "-1e30", "", "253402300800", "9" * 400]
)
@pytest.mark.parametrize("command", ["verify", "present", "credential"])
def test_a_time_of_no_calendar_is_one_line_that_names_the_option(
    capsys, command: str, at: str
) -> None:
    words = {
        "verify": ["verify", "--trust", "trust", "x"],
        "present": ["issue", "present", "card"],
        "credential": ["issue", "credential", "--issuer", "k", "--subject", "1", "--out", "x"],
    }
    with pytest.raises(SystemExit) as left:
        main([*words[command], f"--at={at}"])
    assert left.value.code == 2
    assert "--at" in capsys.readouterr().err.splitlines()[-1]


def test_times_are_printed_as_iso_8601_and_are_numbers_in_json(tmp_path, issuer, capsys) -> None:
    words = ["verify", "--trust", str(tmp_path / "trust"), "--at", moment_text(NOW), code(issuer)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for name in ("valid_from", "valid_until"):
        assert f"{name} {moment_text(shown[name])}" in told
        assert isinstance(shown[name], int)
