"""The manifest: what may run, and what is refused before it runs."""

import hashlib
import tomllib

import msgspec
import pytest

from agent.biometrics.errors import ModelError
from agent.biometrics.manifest import (
    CALIBRATION,
    MANIFEST,
    load_manifest,
    read_model,
    shipped_dir,
)
from agent.biometrics.manifest_write import to_toml, write_calibration
from agent.biometrics.runtime import RUNTIMES, Network, Options

EMBEDDER = """
detector = "d"
embedder = "e"
[[model]]
name = "e"
kind = "face-embedder"
file = "e.tflite"
sha256 = "{sha}"
licence = "x"
origin = "x"
[model.input]
height = 150
width = 150
[model.chip]
right_eye = [45.2, 47.7]
left_eye = [100.2, 47.1]
nose = [70.6, 77.6]
right_mouth = [50.6, 101.3]
left_mouth = [96.2, 100.8]
[model.thresholds]
"1e-2" = 0.9
"1e-3" = 0.93
"""
SHA = "0" * 64


def test_every_shipped_model_is_the_manifests_has_a_card_and_answers_rightly(runtime):
    directory, manifest = shipped_dir(), load_manifest()
    assert manifest.model
    for spec in manifest.model:
        assert spec.golden is not None, "a shipped model has a golden vector"
        assert (directory / spec.card).is_file()
        assert spec.sha256 in (directory / spec.card).read_text(), "the card names the file"
        Network(spec, read_model(directory, spec), Options(runtime=runtime))


def test_default_models_exist_and_the_embedder_is_calibrated():
    manifest = load_manifest()
    assert manifest.find("", "face-detector").name == manifest.detector
    assert {"1e-2", "1e-3", "1e-4", "1e-5"} <= set(manifest.find("", "face-embedder").thresholds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("height = 150", "height = 0"), "height"),
        (("height = 150", "hight = 150"), "hight"),
        (('kind = "face-embedder"', 'kind = "finger"'), "kind"),
        (('file = "e.tflite"', 'file = "../e.tflite"'), "file"),
        ((f'sha256 = "{SHA}"', 'sha256 = "abc"'), "sha256"),
        (('"1e-3" = 0.93', '"1e-3" = 0.9'), "higher threshold"),
        (('"1e-3" = 0.93', '"1e-3" = 1.5'), "thresholds"),
        (("[model.chip]", "[model.points]"), "points"),
        (("detector =", "detector"), "line 2"),
        (("width = 150", "width = 150\nstd = [1.0, 0.0, 1.0]"), "std"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_key(tmp_path, change, message):
    text = EMBEDDER.format(sha=SHA)
    assert change[0] in text
    (tmp_path / MANIFEST).write_text(text.replace(*change))
    with pytest.raises(ModelError, match=message):
        load_manifest(tmp_path)


def test_doubled_names_and_missing_models_are_refused(tmp_path):
    text = EMBEDDER.format(sha=SHA)
    (tmp_path / MANIFEST).write_text(text + text[text.index("[[model]]") :])
    with pytest.raises(ModelError, match="same name"):
        load_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ModelError, match="no face-detector named 'd'"):
        load_manifest(tmp_path).find("", "face-detector")
    with pytest.raises(ModelError, match="cannot be read"):
        load_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize("position", [0, 1000, -1])
def test_a_flipped_byte_is_refused_before_the_interpreter_sees_it(tmp_path, position):
    spec = load_manifest().find("", "face-embedder")
    data = bytearray((shipped_dir() / spec.file).read_bytes())
    data[position] ^= 0x10
    (tmp_path / spec.file).write_bytes(data)
    with pytest.raises(ModelError, match="SHA-256"):
        read_model(tmp_path, spec)


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), (b"", "0 bytes")])
def test_a_missing_or_empty_model_is_refused(tmp_path, content, message):
    spec = load_manifest().find("", "face-embedder")
    if content is not None:
        (tmp_path / spec.file).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path, spec)


def test_a_calibration_replaces_thresholds_for_the_same_file_only(tmp_path):
    (tmp_path / MANIFEST).write_text(EMBEDDER.format(sha=SHA))
    spec = load_manifest(tmp_path).find("e", "face-embedder")
    write_calibration(tmp_path, spec, {"1e-2": 0.8, "1e-3": 0.85}, "two people")
    after = load_manifest(tmp_path).find("e", "face-embedder")
    assert after.thresholds == {"1e-2": 0.8, "1e-3": 0.85}
    assert after.thresholds_from == "two people"
    other = hashlib.sha256(b"other").hexdigest()
    (tmp_path / MANIFEST).write_text(EMBEDDER.format(sha=other))
    with pytest.raises(ModelError, match="calibrate again"):
        load_manifest(tmp_path)
    (tmp_path / CALIBRATION).write_text("[model")
    with pytest.raises(ModelError, match=CALIBRATION):
        load_manifest(tmp_path)


def test_toml_that_is_written_reads_back():
    table = {
        "a": 'q"uo\\te\n',
        "n": [1, 2.5, -3],
        "t": True,
        "deep": {"1e-4": 0.95, "x": {"y": [[1, 2], [3, 4]]}},
        "list": [{"k": "v", "inner": {"z": 1}}, {"k": "ü"}],
        "empty": [],
    }
    assert tomllib.loads(to_toml(table)) == table
    manifest = load_manifest()
    again = msgspec.convert(
        tomllib.loads(to_toml({"model": [msgspec.to_builtins(manifest.model[0].input)]})), dict
    )
    assert again["model"][0]["height"] == manifest.model[0].input.height


def test_runtimes_are_listed_fastest_first():
    assert tuple(RUNTIMES) == ("litert", "tflite-runtime")
