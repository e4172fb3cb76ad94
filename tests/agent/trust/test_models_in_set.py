"""Face models out of a signed set: published by command, opened by a gate that names no others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.biometrics.face.session import FaceVerifier
from agent.biometrics.manifest import shipped_dir
from agent.cli import main
from agent.daemon.place import face_settings, read_trust
from agent.settings.load import load
from tests.support.trust_sets import new_public_pem

OURS = "our-embed-7"


def idgate(*words: str) -> None:
    assert main(["trust", *words]) == 0, words


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gate whose set brings the shipped models under another name; the settings' path."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models"
    folder.mkdir()
    for file in shipped_dir().glob("*.tflite"):
        shutil.copy(file, folder)
    text = (shipped_dir() / "manifest.toml").read_text()
    assert "face-embed-v1" in text
    (folder / "manifest.toml").write_text(text.replace("face-embed-v1", OURS))
    (tmp_path / "ministry.pem").write_bytes(new_public_pem())
    idgate("init", "repo", "--no-password")
    idgate("add-issuer", "repo", "ministry.pem")
    for file in sorted(folder.iterdir()):
        idgate("add-model", "repo", str(file))
    idgate("sign", "repo")
    idgate("publish", "repo")
    idgate("update", "cache", "--root", "repo/metadata/1.root.json", "--from", "repo")
    settings = tmp_path / "config.toml"
    settings.write_text(
        '[gate]\nsite = "s"\ngate = "g"\n[[camera]]\ndriver = "simulated"\n'
        '[gpio]\ndriver = "simulated"\n[trust]\ndirectory = "cache"\nsigned = true\n[face]\n'
    )
    return settings


def test_a_gate_opens_the_models_of_its_set(gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load(gate)
    face = face_settings(config, read_trust(config, now=0))
    assert face is not None
    assert FaceVerifier.from_config(face, config.path("")).model_id == OURS
    capsys.readouterr()
    main(["doctor", "--config", str(gate), "--no-hardware"])
    line = next(line for line in capsys.readouterr().out.splitlines() if "golden" in line)
    assert OURS in line


def test_models_that_the_settings_name_go_first(gate: Path) -> None:
    with gate.open("a") as file:
        file.write(f'models_dir = "{shipped_dir()}"\n')
    config = load(gate)
    face = face_settings(config, read_trust(config, now=0))
    assert face is not None
    assert FaceVerifier.from_config(face, config.path("")).model_id == "face-embed-v1"


def test_a_set_without_a_manifest_brings_no_models(gate: Path) -> None:
    idgate("remove", "repo", "models/manifest.toml")
    idgate("sign", "repo")
    idgate("publish", "repo")
    idgate("update", "cache", "--from", "repo")
    config = load(gate)
    assert face_settings(config, read_trust(config, now=0)) == config.face
