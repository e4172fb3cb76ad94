# ruff: noqa: INP001 - a script, not a module
"""What a gate is made of: the licences of its dependencies, and an SBOM in CycloneDX 1.6 JSON.

    ./setup.sh licences            one line a distribution; exit 1 where a licence is not stated
    ./setup.sh sbom [FILE]         standard output where no file is named

Read from the metadata that is installed, so it tells of what really runs: idgate and everything it
needs, with the extras that are named. The models that the package ships are components too. With
SOURCE_DATE_EPOCH set, the same installation gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROJECT = "idgate"
EXTRAS = ("pi", "osdp", "fleet")
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562, for names that are URLs
UNKNOWN = "not stated"
_MAX_LICENCE = 60
_WORD = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
_EXPRESSION = re.compile(r"^[A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*$")
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_WORDS = {"Apache 2.0": "Apache-2.0", "Apache License 2.0": "Apache-2.0", "MIT License": "MIT"}


def canonical(name: str) -> str:
    """Return a distribution's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _needed(requirement: str, extras: frozenset[str]) -> tuple[str, frozenset[str]] | None:
    """Return (name, its extras) of a requirement that applies here, else None."""
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    if wanted.marker is None:
        return canonical(wanted.name), frozenset(wanted.extras)
    applies = any(wanted.marker.evaluate({"extra": extra}) for extra in (extras or {""}) | {""})
    return (canonical(wanted.name), frozenset(wanted.extras)) if applies else None


def closure(
    name: str = PROJECT, extras: tuple[str, ...] = EXTRAS
) -> dict[str, tuple[metadata.Distribution, list[str]]]:
    """Return every installed distribution that is needed: name -> (metadata, names it needs).

    What only an extra needs is left out where it is not installed; anything else must be there.

    Raises:
        importlib.metadata.PackageNotFoundError: a requirement is not installed.
    """
    found: dict[str, tuple[metadata.Distribution, list[str]]] = {}
    todo: list[tuple[str, frozenset[str], bool]] = [(canonical(name), frozenset(extras), False)]
    while todo:
        current, asked, optional = todo.pop()
        if current in found and not asked:
            continue
        try:
            distribution = metadata.distribution(current)
        except metadata.PackageNotFoundError:
            if optional:
                continue
            raise
        needs = found.setdefault(current, (distribution, []))[1]
        for line in distribution.requires or []:
            need = _needed(line, asked)
            if need is None or need[0] == current:
                continue
            if need[0] not in needs:
                needs.append(need[0])
                todo.append((*need, optional or "extra ==" in line))
    return {key: (each, [n for n in needs if n in found]) for key, (each, needs) in found.items()}


def licence(distribution: metadata.Distribution) -> str:
    """Return the licence that a distribution states, as an SPDX expression where it can be."""
    data = distribution.metadata
    stated = data.get("License-Expression") or ""
    if stated:
        return stated
    classes = [line.rsplit(" :: ", 1)[-1] for line in data.get_all("Classifier") or []
               if line.startswith("License :: ")]  # fmt: skip
    named = sorted({_CLASSIFIERS.get(each, each) for each in classes if each != "OSI Approved"})
    if named:
        return " OR ".join(named)
    text = (data.get("License") or "").strip().split("\n", 1)[0]
    return _WORDS.get(text, text)[:_MAX_LICENCE] or UNKNOWN


def licences() -> Iterator[tuple[str, str, str]]:
    """Yield (name, version, licence) of everything that is needed, in order of name."""
    for _, (distribution, _needs) in sorted(closure().items()):
        yield distribution.name, distribution.version, licence(distribution)


def _licence_entry(text: str) -> list[dict[str, Any]]:
    if text == UNKNOWN:
        return []
    if text == "BSD" or not _EXPRESSION.match(text):
        return [{"license": {"name": text}}]
    return [{"expression": text}]


def _component(distribution: metadata.Distribution) -> dict[str, Any]:
    name, version = canonical(distribution.name), distribution.version
    purl = f"pkg:pypi/{name}@{version}"
    entry: dict[str, Any] = {
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
    }  # fmt: skip
    if found := _licence_entry(licence(distribution)):
        entry["licenses"] = found
    return entry


def _models() -> Iterator[dict[str, Any]]:
    for path in sorted((ROOT / "models").glob("*.tflite")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield {
            "type": "machine-learning-model", "bom-ref": f"model:{path.stem}@{digest[:16]}",
            "name": path.stem, "version": digest[:16],
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }  # fmt: skip


def sbom() -> dict[str, Any]:
    """Return the SBOM of this installation."""
    parts = closure()
    own = _component(parts[PROJECT][0]) | {"type": "application"}
    components = [_component(each) for name, (each, _) in sorted(parts.items()) if name != PROJECT]
    models = list(_models())
    refs = {name: f"pkg:pypi/{name}@{each.version}" for name, (each, _) in parts.items()}
    depends = [
        {"ref": refs[name], "dependsOn": sorted(refs[need] for need in needs)}
        for name, (_, needs) in sorted(parts.items())
    ]
    next(each for each in depends if each["ref"] == own["bom-ref"])["dependsOn"] += [
        model["bom-ref"] for model in models
    ]
    what = json.dumps([own, components, models], sort_keys=True)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    at = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, what)}",
        "version": 1,
        "metadata": {"timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": own},
        "components": components + models,
        "dependencies": depends,
    }


def main() -> int:
    """Print the licences, or write the SBOM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words = parser.add_subparsers(dest="word", required=True)
    words.add_parser("licences", help="one line a distribution")
    words.add_parser("sbom", help="CycloneDX 1.6 JSON").add_argument("file", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.word == "sbom":
        text = json.dumps(sbom(), indent=2) + "\n"
        if arguments.file is None:
            sys.stdout.write(text)
        else:
            arguments.file.write_text(text, encoding="utf-8")
        return 0
    rows = list(licences())
    for name, version, text in rows:
        sys.stdout.write(f"{name:40} {version:16} {text}\n")
    return 1 if any(text == UNKNOWN for _, _, text in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
