"""docs/trust.md does what it says: its commands run in order, its tables match the code."""

from __future__ import annotations

import re
import shlex
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from agent.biometrics.manifest import shipped_dir
from agent.cli import main
from agent.credential.issuers import Algorithm
from agent.trust.cache import load_signed
from agent.trust.description import Description
from agent.trust.model import COMMAND_ROLES
from tests.agent.trust.test_status import KEY, cwt
from tests.support.paths import ROOT
from tests.support.trust_keys import NOW, public_pem
from tests.support.trust_sets import new_public_pem

DOC = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")


def test_the_commands_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pw").write_text("secret")
    for name in ("ministry", "duty"):
        Path(f"{name}.pem").write_bytes(new_public_pem())
    Path("bureau.pem").write_bytes(public_pem(KEY))
    Path("bureau.toml").write_text('kid_text = "12"')
    Path("list.cwt").write_bytes(cwt())
    (csv,) = re.findall(r"```csv\n(.*?)```", DOC, re.DOTALL)
    for name in ("members", "banned"):
        Path(f"{name}.csv").write_text(csv)
    Path("roster.key").write_bytes(b"k" * 32)
    Path("library.toml").write_bytes(
        files("agent.policy.profiles").joinpath("library.toml").read_bytes()
    )
    Path("revoked.json").write_text('{"kid":"UNKNOWN_KID","hashType":"UCI","entries":[]}')
    Path("trust").mkdir()
    Path("trust/ministry.pem").write_bytes(Path("ministry.pem").read_bytes())
    Path("models").mkdir()
    Path("models/manifest.toml").write_bytes((shipped_dir() / "manifest.toml").read_bytes())
    Path("models/our-net.tflite").write_bytes(b"a network")
    commands = [
        shlex.split(line)
        for block in re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) > 15
    for command in commands:
        assert command[0] == "idgate"
        assert main(command[1:]) == 0, command
    for command in ("sign", "publish"):
        assert main(["trust", command, "repo", "--password-file", "pw"]) == 0
    Path("cache/roster.key").write_bytes(b"k" * 32)
    assert main(["trust", "update", "cache", "--from", "repo"]) == 0
    snapshot = load_signed(Path("cache"), NOW)
    assert sorted(snapshot.rosters) == ["members"]
    assert snapshot.rosters["members"].lists("ministry", "A1234567", NOW)
    assert sorted(entry.issuer for entry in snapshot.status_lists) == ["bureau", "library"]
    (withdrawn,) = [entry for entry in snapshot.status_lists if entry.issuer == "library"]
    assert [withdrawn.value(index) for index in (6, 7)] == [0, 1]
    assert snapshot.profile("library") == Path("library.toml").read_bytes()
    assert sorted(snapshot.models) == ["manifest.toml", "our-net.tflite"]


def test_every_key_of_a_description_is_documented() -> None:
    table = DOC[DOC.index("| key of NAME.toml") : DOC.index("`idgate trust show DIR`")]
    first_cells = "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
    named = set(re.findall(r"`([a-z_]+)`", first_cells))
    assert named == {field.name for field in msgspec.structs.fields(Description)}
    for word in (*COMMAND_ROLES, *Algorithm):
        assert f"`{word}`" in table
