"""The fuzzer itself: it finds what it should, and ends as its callers expect."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent.credential import cbor, registry
from agent.credential.model import Rejected
from agent.credential.registry import FORMATS
from tests.fuzz import fuzz, targets
from tests.fuzz.mutate import structural

SCRIPT = Path(fuzz.__file__)
CHANGED = 150


def test_every_format_has_a_target() -> None:
    assert set(targets.FORMATS) == set(FORMATS)
    assert set(FORMATS) <= set(targets.names())


@pytest.mark.parametrize("name", targets.names())
def test_seeds_and_what_they_become_are_taken_as_they_should(name: str) -> None:
    """Sound inputs and some hundred changed ones, without instruments: nothing but refusals."""
    target = targets.target(name)
    rng = random.Random(0)
    inputs = list(target.inputs())
    assert {data[0] % len(target.layers) for data in inputs} == set(range(len(target.layers)))
    for data in inputs:
        target.take(target.code(data))
    for seed in range(CHANGED if target.cpu_limit_s < 0.1 else CHANGED // 10):
        data = rng.choice(inputs)
        changed = structural(data[1:], seed)
        if changed is None:
            at = rng.randrange(len(data))
            changed = data[1:at] + rng.randbytes(rng.randrange(4)) + data[at + rng.randrange(4) :]
        target.take(target.code(data[:1] + changed))


def test_sound_code_costs_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = targets.target("dcc")
    path = tmp_path / "sound.code"
    path.write_bytes(target.code(next(iter(target.inputs()))))
    assert fuzz.main(["--target", "dcc", "--replay", str(path)]) == 0
    assert "ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    "fault",
    [
        lambda *_args, **_kwargs: b""[len(_args) + 1],
        lambda *_args, **_kwargs: (_ for _ in ()).throw(RecursionError),
        lambda *_args, **_kwargs: bytearray(9 << 20),
        lambda *_args, **_kwargs: hashlib.pbkdf2_hmac("sha256", b"", b"", 150_000),
    ],
    ids=["IndexError", "RecursionError", "9 MiB", "too long"],
)
def test_faults_are_findings(
    fault: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.code"
    path.write_bytes(b"HC1:")
    monkeypatch.setattr(registry, "read", fault)
    assert fuzz.main(["--target", "dcc", "--replay", str(path)]) == 1


def test_unknown_target_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        fuzz.main(["--target", "morse"])
    assert caught.value.code == 2


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_a_short_run_is_clean(tmp_path: Path) -> None:
    name = "command"
    command = [
        sys.executable, str(SCRIPT), "--target", name, "--seconds", "1",
        "--findings", str(tmp_path / "findings"),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"fuzz: {name:10} clean" in done.stdout
    assert list((tmp_path / "findings").iterdir()) == []


def test_json_is_changed_by_its_structure_too() -> None:
    data = json.dumps({"a": [1, {"b": "c"}], "d": None}).encode()
    changed = {structural(data, seed) for seed in range(200)} - {None}
    assert len(changed) > 80
    assert all(json.loads(item) is not Ellipsis for item in changed)
    behind = structural(b"\x07" + data, 5)
    assert behind is not None
    assert behind[:1] == b"\x07"


def test_structural_changes_reach_inside_what_is_wrapped() -> None:
    claims = {1: "iss", 169: cbor.encode({62: [{0: b"face", 1: 0}], 8: "19840418"})}
    data = cbor.encode(cbor.Tagged(18, [b"", {}, cbor.encode(claims), b"signature"]))
    changed = {structural(data, seed) for seed in range(400)} - {None}
    assert len(changed) > 200
    assert structural(data, 7) == structural(data, 7)
    inner = set()
    for item in changed:
        try:
            inner.add(repr(cbor.decode(item, tags=(18,)).value[2]))
        except (Rejected, AttributeError, LookupError, TypeError):
            continue
    assert len(inner) > 50


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xff", b"text", cbor.encode(b"bytes")])
def test_what_is_no_container_is_left_alone(data: bytes) -> None:
    assert structural(data, 1) is None
