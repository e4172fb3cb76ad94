"""Writing what `manifest.py` reads: a calibration, and an operator's own model into a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.biometrics.errors import ModelError
from agent.biometrics.manifest import (
    CALIBRATION,
    MANIFEST,
    CalibratedModel,
    Calibration,
    Golden,
    Manifest,
    ModelSpec,
    load_manifest,
    read_model,
    shipped_dir,
)
from agent.biometrics.runtime import Network, Options, golden_heads

__all__ = ["add_model", "to_toml", "write_calibration"]

SHIPPED_TOLERANCE = 4.0


def to_toml(value: Mapping[str, Any]) -> str:
    """Return tables, arrays of tables, strings, numbers and lists of them as TOML 1.0."""
    return "\n".join(_table(value, ())) + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain, inner = [], []
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = (*path, _key(key))
            inner += ["", f"[{'.'.join(name)}]", *_table(value, name)]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            name = (*path, _key(key))
            for each in value:
                inner += ["", f"[[{'.'.join(name)}]]", *_table(each, name)]
        else:
            plain.append(f"{_key(key)} = {_value(value)}")
    return plain + inner


def _key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        # JSON's escapes are TOML's.
        return msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    return repr(value)


def write_calibration(
    directory: Path, spec: ModelSpec, thresholds: dict[str, float], source: str
) -> Path:
    """Write a model's thresholds into the calibration beside the manifest; others stay.

    Raises:
        ModelError: the calibration that is there cannot be read.
        OSError: it cannot be written.
    """
    path = directory / CALIBRATION
    known: dict[str, CalibratedModel] = {}
    if path.exists():
        import tomllib

        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
            known = dict(msgspec.convert(table, Calibration).model)
        except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise ModelError(f"{path}: {error}") from None
    known[spec.name] = CalibratedModel(
        sha256=spec.sha256, thresholds=thresholds, thresholds_from=source
    )
    _replace(path, to_toml(msgspec.to_builtins(Calibration(model=known))))
    return path


def add_model(directory: Path, spec: ModelSpec, data: bytes, options: Options) -> ModelSpec:
    """Bring a model into a directory: try it, take its golden vector, write file and manifest.

    Args:
        directory: gets the file; made where it is not there. An embedder that begins a directory
            brings the shipped detector along, since a gate takes both out of one.
        spec: what the operator says of it; hash and golden vector are filled in.
        data: the model file.
        options: the runtime that it is tried with.

    Returns:
        The entry as it was written.

    Raises:
        ModelError: the model cannot be used, or its name is taken.
        OSError: the directory cannot be written.
    """
    digest = hashlib.sha256(data).hexdigest()
    spec = msgspec.structs.replace(spec, sha256=digest, golden=None)
    if spec.file.endswith(".tflite"):
        heads = golden_heads(Network(spec, data, options))
        largest = max(abs(value) for head in heads for value in head)
        if largest == 0.0:
            raise ModelError(f"model {spec.name} answers zeros to the golden picture")
        tolerance = SHIPPED_TOLERANCE if largest > SHIPPED_TOLERANCE else 0.02 * largest
        spec = msgspec.structs.replace(spec, golden=Golden(heads=heads, tolerance=tolerance))
    manifest = Manifest(detector="none", embedder="none", model=())
    brought: dict[str, bytes] = {}
    if (directory / MANIFEST).exists():
        manifest = load_manifest(directory, calibrated=False)
    elif spec.kind == "face-embedder":
        manifest, brought = _shipped_detector()
    if any(each.name == spec.name for each in manifest.model):
        raise ModelError(f"{directory / MANIFEST} already has a model named {spec.name}")
    defaults = {"face-detector": "detector", "face-embedder": "embedder"}
    field = defaults.get(spec.kind)
    changed: dict[str, Any] = {"model": (*manifest.model, spec)}
    if field is not None and getattr(manifest, field) == "none":
        changed[field] = spec.name
    manifest = msgspec.structs.replace(manifest, **changed)
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in {**brought, spec.file: data}.items():
        (directory / name).write_bytes(content)
    _replace(directory / MANIFEST, to_toml(_without_empty(msgspec.to_builtins(manifest))))
    return spec


def _shipped_detector() -> tuple[Manifest, dict[str, bytes]]:
    """Return a manifest with the shipped detector and what it refines with, and their files."""
    source = shipped_dir()
    shipped = load_manifest(source, calibrated=False)
    kept = tuple(each for each in shipped.model if each.kind != "face-embedder")
    manifest = msgspec.structs.replace(shipped, embedder="none", model=kept)
    return manifest, {each.file: read_model(source, each) for each in kept}


def _without_empty(table: Any) -> Any:
    """Leave out what is None: TOML has no word for it."""
    if isinstance(table, Mapping):
        return {key: _without_empty(value) for key, value in table.items() if value is not None}
    if isinstance(table, list | tuple):
        return [_without_empty(each) for each in table]
    return table


def _replace(path: Path, text: str) -> None:
    """Write beside and rename: a reader sees the old file or the new one."""
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
