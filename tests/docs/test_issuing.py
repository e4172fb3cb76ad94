"""docs/issuing.md: its bytes are parsed and verified, its program is run, its commands are carried out."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent import cli
from agent.credential import base45, cbor, registry
from agent.credential.model import FormatName, Kind, Rejected
from agent.reason import Reason
from agent.trust.directory import load_directory

PAGE = (Path(__file__).parents[2] / "docs/issuing.md").read_text("utf-8")
BLOCKS = {
    (verb, name): body
    for verb, name, body in re.findall(
        r"<!-- (bytes|code|file): (\S+) -->\n```\w+\n(.*?)```\n", PAGE, re.DOTALL
    )
}
SHOWN_AT = 1_800_000_000


def listed(name: str) -> bytes:
    """Return the bytes of an annotated listing."""
    lines = (line.split("#", 1)[0] for line in BLOCKS["bytes", name].splitlines())
    return bytes.fromhex("".join(lines))


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    folder = tmp_path / "trust"
    folder.mkdir()
    for name in ("example.pem", "example.toml"):
        (folder / name).write_text(BLOCKS["file", name])
    return folder


def read(text: str, trust: Path, *, now: int, gate: str = "main-entrance"):
    rules = registry.ReadRules(now=now, clock_trusted=True, site="central-library", gate=gate)
    return registry.read(text.encode(), keys=load_directory(trust, now=now), rules=rules)


def test_the_codes_are_the_bytes_listed() -> None:
    for code, message in (("dynamic", "presentation"), ("static", "credential")):
        text = BLOCKS["code", code].strip("\n")
        assert text.startswith("NI1:")
        assert base45.decode(text[4:].encode()) == listed(message)


def test_the_comments_say_what_the_bytes_are() -> None:
    tagged = cbor.decode(listed("credential"), tags=(18,))
    header, _, claims, signature = tagged.value
    assert len(header) == 13
    assert len(claims) == 152
    assert len(signature) == 64
    body = cbor.decode(claims)
    comments = "\n".join(line.split("#", 1)[1] for line in
                         BLOCKS["bytes", "credential"].splitlines() if "#" in line)  # fmt: skip
    assert f'"{body[1]}"' in comments
    assert f'"{body[2]}"' in comments
    assert f"4 (exp): {body[4]}" in comments
    assert f"6 (iat): {body[6]}" in comments
    assert f'"{body[11]}"' in comments
    assert listed("credential") in listed("presentation")


def test_a_gate_believes_them(trust: Path) -> None:
    text = BLOCKS["code", "dynamic"].strip("\n")
    credential = read(text, trust, now=SHOWN_AT + 5)
    assert credential.format is FormatName.NATIVE
    assert credential.kind is Kind.LIBRARY_CARD
    assert credential.subject == "8f14e45fceea167a"
    assert credential.dynamic
    for now, gate, reason in (
        (SHOWN_AT + 60, "main-entrance", Reason.STALE),
        (SHOWN_AT - 60, "main-entrance", Reason.ISSUED_IN_FUTURE),
        (SHOWN_AT + 5, "other", Reason.WRONG_AUDIENCE),
    ):
        with pytest.raises(Rejected) as refused:
            read(text, trust, now=now, gate=gate)
        assert refused.value.reason is reason
    assert not read(BLOCKS["code", "static"].strip("\n"), trust, now=SHOWN_AT).dynamic


def test_every_byte_counts(trust: Path) -> None:
    """Any byte of the page that is mistyped is noticed by the gate."""
    message = listed("presentation")
    for at in range(0, len(message), 7):
        changed = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        with pytest.raises(Rejected):
            read("NI1:" + base45.encode(changed), trust, now=SHOWN_AT + 5)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_the_program_makes_them(tmp_path: Path) -> None:
    (tmp_path / "issue.mjs").write_text(BLOCKS["file", "issue.mjs"])
    done = subprocess.run(
        ["node", "issue.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    credential, presentation, static, dynamic, key = done.stdout.splitlines()
    assert bytes.fromhex(credential) == listed("credential")
    assert bytes.fromhex(presentation) == listed("presentation")
    assert static == BLOCKS["code", "static"].strip("\n")
    assert dynamic == BLOCKS["code", "dynamic"].strip("\n")
    assert key in BLOCKS["file", "example.pem"]


def test_the_verify_command_answers_as_shown(trust: Path, capsys) -> None:
    command = re.search(r"^idgate (verify .*) CODE$", PAGE, re.MULTILINE)[1].split()
    command[command.index("trust")] = str(trust)
    code = BLOCKS["code", "dynamic"].strip("\n")
    assert cli.main([*command, code]) == 0
    assert capsys.readouterr().out.startswith("granted")
    command[command.index("--at") + 1] = "1800000060"
    assert cli.main([*command, code]) == 1
    assert capsys.readouterr().out.startswith("denied: reason stale")


def test_the_pilot_tools_work_as_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[-1].replace("\\\n", " ")
    lines = block.strip().splitlines()
    assert len(lines) == 4
    for line in lines:
        words = line.split()
        assert words[0] == "idgate"
        assert cli.main(words[1:]) == 0, line
    assert (tmp_path / "code.png").read_bytes().startswith(b"\x89PNG")


def test_every_reason_of_the_table_is_one() -> None:
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}
    assert len(named) >= 9
    assert named <= {reason.value for reason in Reason}
