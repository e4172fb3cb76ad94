"""`idgate models`: list and verify the TFLite models, or bring one of your own.

    idgate models list
    idgate models verify                            hash, shape and golden vector of each
    idgate models add net.tflite --to DIR --entry entry.toml

An entry is one `[[model]]` table as in the manifest, without sha256, file and golden vector; an
embedder without thresholds has to be calibrated (`idgate face calibrate`) before a gate uses it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path

from agent.exits import Exit

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (("list", "show the manifest"), ("verify", "try every model")):
        action = actions.add_parser(name, help=text)
        action.add_argument(
            "--models", type=Path, metavar="DIR", help="your models; default: the shipped"
        )
        action.add_argument("--json", action="store_true", help="one JSON array")
        if name == "verify":
            action.add_argument(
                "--runtime",
                default="all",
                choices=("all", "litert", "tflite-runtime"),
                help="which one tries them",
            )
    add = actions.add_parser("add", help="bring a model")
    add.add_argument("file", type=Path, metavar="FILE", help="the model, TFLite")
    add.add_argument("--to", type=Path, required=True, metavar="DIR", help="your models directory")
    add.add_argument("--entry", type=Path, required=True, metavar="TOML", help="what it is")
    add.add_argument(
        "--runtime",
        default="auto",
        choices=("auto", "litert", "tflite-runtime"),
        help="which one tries it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action; return the exit code."""
    from agent.biometrics.errors import ModelError

    actions = {"list": _list, "verify": _verify, "add": _add}
    try:
        return actions[arguments.action](arguments)
    except ModelError as error:
        print(f"idgate models: {error}", file=sys.stderr)
        return Exit.SETTINGS
    except OSError as error:
        print(f"idgate models: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _list(arguments: argparse.Namespace) -> int:
    from agent.biometrics.manifest import load_manifest

    manifest = load_manifest(arguments.models)
    rows = [
        {
            "name": spec.name,
            "kind": spec.kind,
            "file": spec.file,
            "default": spec.name in (manifest.detector, manifest.embedder),
            "sha256": spec.sha256,
            "licence": spec.licence,
            "input": f"{spec.input.width}x{spec.input.height}",
            "thresholds": spec.thresholds,
        }
        for spec in manifest.model
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        mark = "*" if row["default"] else " "
        print(f"{mark} {row['name']:20} {row['kind']:14} {row['input']:>8}  {row['licence']}")
        for rate, score in spec_thresholds(row["thresholds"]):
            print(f"    false match rate {rate}: similarity {score}")
    return 0


def spec_thresholds(table: object) -> list[tuple[str, float]]:
    """Return thresholds in the order of their rates."""
    return sorted(table.items()) if isinstance(table, dict) else []


def _verify(arguments: argparse.Namespace) -> int:
    from agent.biometrics.errors import ModelError
    from agent.biometrics.manifest import load_manifest, read_model, shipped_dir
    from agent.biometrics.runtime import Network, Options, choose_runtime, installed_runtimes

    directory = arguments.models or shipped_dir()
    # With none installed `auto` says so, of each model.
    everything = installed_runtimes() or ("auto",)
    wanted = everything if arguments.runtime == "all" else (arguments.runtime,)
    rows = []
    for spec in load_manifest(directory).model:
        for runtime in wanted if spec.file.endswith(".tflite") else ("opencv",):
            row = {"name": spec.name, "runtime": runtime, "ok": True, "detail": "answers rightly"}
            try:
                data = read_model(directory, spec)
                if runtime == "opencv":
                    row["detail"] = "file is the manifest's"
                else:
                    choose_runtime(runtime)
                    Network(spec, data, Options(runtime=runtime))
            except ModelError as error:
                row |= {"ok": False, "detail": str(error)}
            rows.append(row)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            word = "ok  " if row["ok"] else "FAIL"
            print(f"{word} {row['name']} with {row['runtime']}: {row['detail']}")
    return 0 if all(row["ok"] for row in rows) else 1


def _add(arguments: argparse.Namespace) -> int:
    import msgspec

    from agent.biometrics.errors import ModelError
    from agent.biometrics.manifest import ModelSpec
    from agent.biometrics.manifest_write import add_model
    from agent.biometrics.runtime import Options

    try:
        entry = tomllib.loads(arguments.entry.read_text(encoding="utf-8"))
        entry |= {"file": arguments.file.name, "sha256": "0" * 64}
        spec = msgspec.convert(entry, ModelSpec)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"{arguments.entry}: {error}") from None
    data = arguments.file.read_bytes()
    spec = add_model(arguments.to, spec, data, Options(runtime=arguments.runtime))
    print(f"added {spec.name} ({spec.sha256[:16]}...) to {arguments.to}")
    if spec.kind == "face-embedder" and not spec.calibrated:
        print("it has no thresholds yet: run `idgate face calibrate` before a gate uses it")
    return 0
