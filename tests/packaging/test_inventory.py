"""Licences, SBOM and lock file: what the installed metadata and pyproject.toml say."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT

SCRIPT = ROOT / "packaging/inventory.py"
LOCKS = {
    minor: ROOT / f"packaging/requirements-cp3{minor}.lock" for minor in (11, 13)
}  # Debian 12 and 13
DESK_LOCKS = {
    minor: path.with_name(f"requirements-desk-cp3{minor}.lock") for minor, path in LOCKS.items()
}
SETS = [
    (minor, kept, extras)
    for kept, extras in ((LOCKS, ("pi", "osdp")), (DESK_LOCKS, ("desk", "fleet")))
    for minor in LOCKS
]
"""Which extras each lock file is made with."""
HERE = sys.version_info.minor
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def load():
    spec = importlib.util.spec_from_file_location("idgate_inventory", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


inventory = load()


def required() -> set[str]:
    """Names of the direct dependencies that apply to this Python."""
    wanted = (Requirement(line) for line in PROJECT["dependencies"])
    return {
        inventory.canonical(each.name)
        for each in wanted
        if each.marker is None or each.marker.evaluate()
    }


def test_every_dependency_has_a_licence() -> None:
    rows = list(inventory.licences())
    assert required() <= {inventory.canonical(name) for name, _, _ in rows}
    assert [name for name, _, licence in rows if licence == inventory.UNKNOWN] == []
    text = "\n".join(licence for _, _, licence in rows)
    assert not re.search(r"(?<!L)GPL-[23]\.0-(only|or-later)(?! WITH)", text.replace("LGPL", "L"))


def test_a_dependency_without_a_licence_is_told(monkeypatch, capsys) -> None:
    monkeypatch.setattr(inventory, "licences", lambda: iter([("x", "1", inventory.UNKNOWN)]))
    monkeypatch.setattr(sys, "argv", ["inventory", "licences"])
    assert inventory.main() == 1
    assert "not stated" in capsys.readouterr().out


SCHEMA = {
    # The parts of bom-1.6.schema.json that are used here, with its own patterns.
    "type": "object",
    "required": ["bomFormat", "specVersion", "version", "serialNumber", "metadata", "components"],
    "additionalProperties": False,
    "properties": {
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "version": {"type": "integer", "minimum": 1},
        "serialNumber": {
            "pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
        },
        "metadata": {
            "type": "object",
            "required": ["timestamp", "component"],
            "properties": {"component": {"$ref": "#/$defs/component"}},
        },
        "components": {
            "type": "array",
            "uniqueItems": True,
            "items": {"$ref": "#/$defs/component"},
        },
        "dependencies": {
            "type": "array",
            "uniqueItems": True,
            "items": {
                "type": "object",
                "required": ["ref"],
                "additionalProperties": False,
                "properties": {
                    "ref": {"type": "string", "minLength": 1},
                    "dependsOn": {
                        "type": "array",
                        "uniqueItems": True,
                        "items": {"type": "string", "minLength": 1},
                    },
                },
            },
        },
    },
    "$defs": {
        "component": {
            "type": "object",
            "required": ["type", "name"],
            "additionalProperties": False,
            "properties": {
                "type": {"enum": ["application", "library", "machine-learning-model"]},
                "bom-ref": {"type": "string", "minLength": 1},
                "name": {"type": "string", "minLength": 1},
                "version": {"type": "string"},
                "purl": {"type": "string", "pattern": "^pkg:pypi/[a-z0-9-]+@[0-9A-Za-z.+!]+$"},
                "hashes": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["alg", "content"],
                        "properties": {
                            "alg": {"enum": ["SHA-256"]},
                            "content": {"pattern": "^[a-fA-F0-9]{64}$"},
                        },
                    },
                },
                "licenses": {
                    "type": "array",
                    "items": {
                        "oneOf": [
                            {"required": ["expression"], "additionalProperties": False,
                             "properties": {"expression": {"type": "string"}}},
                            {"required": ["license"], "additionalProperties": False,
                             "properties": {"license": {"required": ["name"]}}},
                        ]
                    },
                },
            },
        }
    },
}  # fmt: skip


def test_the_sbom_is_cyclonedx(tmp_path: Path, monkeypatch) -> None:
    import jsonschema

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    found = []
    for name in "ab":
        path = tmp_path / name
        subprocess.run([sys.executable, SCRIPT, "sbom", path], check=True)
        found.append(path.read_bytes())
    assert found[0] == found[1]
    bom = json.loads(found[0])
    jsonschema.validate(bom, SCHEMA)
    assert bom["metadata"]["timestamp"] == "2027-01-15T08:00:00Z"
    refs = [part["bom-ref"] for part in bom["components"]] + [
        bom["metadata"]["component"]["bom-ref"]
    ]
    assert len(refs) == len(set(refs))
    for each in bom["dependencies"]:
        assert {each["ref"], *each["dependsOn"]} <= set(refs)
    assert required() <= {part["name"] for part in bom["components"]}
    models = [part for part in bom["components"] if part["type"] == "machine-learning-model"]
    assert len(models) == len(list((ROOT / "models").glob("*.tflite")))


def locked(path: Path) -> dict[str, tuple[str, int]]:
    """Return name -> (version, number of hashes)."""
    text = path.read_text("utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        match = re.match(r"([a-z0-9._-]+)==(\S+)(.*)$", line, re.IGNORECASE)
        if match:
            hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}\b", match[3])
            found[inventory.canonical(match[1])] = (match[2], len(hashes))
    return found


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
@pytest.mark.parametrize(("minor", "kept", "extras"), SETS)
def test_the_lock_file_pins_everything_by_hash(minor, kept, extras, machine: str) -> None:
    pins = locked(kept[minor])
    assert [name for name, (_, hashes) in pins.items() if hashes == 0] == []
    assert "://" not in kept[minor].read_text("utf-8")  # names no index
    optional = PROJECT["optional-dependencies"]
    place = {"python_version": f"3.{minor}", "platform_machine": machine}
    lines = PROJECT["dependencies"] + [line for extra in extras for line in optional[extra]]
    for requirement in map(Requirement, lines):
        name = inventory.canonical(requirement.name)
        if requirement.marker and not requirement.marker.evaluate(place):
            # Named twice where two versions of Python want different ones.
            version = pins.get(name, ("", 0))[0]
            assert not version or not requirement.specifier.contains(version), requirement
            continue
        assert requirement.specifier.contains(pins[name][0]), requirement


@pytest.mark.skipif(HERE not in LOCKS, reason="no lock file for this Python")
def test_the_lock_file_covers_what_is_needed_here() -> None:
    for kept, extras in ((LOCKS, ("osdp",)), (DESK_LOCKS, ("desk", "fleet"))):
        needed = set(inventory.closure(extras=extras)) - {"idgate"}
        assert needed - set(locked(kept[HERE])) == set()


@pytest.mark.parametrize("minor", LOCKS)
def test_what_a_desk_and_a_gate_both_run_is_the_same_release(minor: int) -> None:
    gate, desk = (
        {name: version for name, (version, _) in locked(kept[minor]).items()}
        for kept in (LOCKS, DESK_LOCKS)
    )
    both = gate.keys() & desk.keys()
    assert len(both) > 30
    assert {name: desk[name] for name in both} == {name: gate[name] for name in both}


def test_the_build_backend_is_pinned_by_hash_and_is_the_declared_one() -> None:
    path = ROOT / "packaging/requirements-build.lock"
    pins = locked(path)
    assert "://" not in path.read_text("utf-8")
    assert all(hashes for _, hashes in pins.values())
    built_by = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]
    wanted = [Requirement(line) for line in built_by["requires"]]
    assert {inventory.canonical(each.name) for each in wanted} == set(pins)
    assert all(each.specifier.contains(pins[each.name][0]) for each in wanted)
