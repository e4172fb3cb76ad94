"""`idgate face`: enrol, compare and measure with the gate's own detector, alignment and network.

    idgate face enroll IMAGE... --out FILE            a template, for `idgate issue credential`
    idgate face compare A B [--json]                  pictures or templates; exit code 1: no match
    idgate face evaluate --images DIR --pairs FILE [--json] [--plot PNG] [--photo PX]
    idgate face calibrate --images DIR                thresholds from your own people's pictures
    idgate face spoof-render --faces DIR --out DIR    rendered prints, screens and bona fide clips
    idgate face spoof-eval --clips DIR [--json]       APCER by species, BPCER

Nothing of a picture is kept but the template that `--out` names.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands import values
from agent.exits import Exit

if TYPE_CHECKING:
    from agent.biometrics.face.embed import Embedder
    from agent.biometrics.types import FaceDetector

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    enroll = _action(actions, "enroll", "make a template from pictures of one person")
    enroll.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="pictures")
    enroll.add_argument("--out", type=Path, required=True, metavar="FILE", help="the template")
    enroll.add_argument(
        "--photo",
        type=values.count(16, 512),
        metavar="PX",
        help="write a WebP photo of this size, not a template",
    )
    compare = _action(actions, "compare", "compare two pictures or templates")
    compare.add_argument("a", type=Path, metavar="REFERENCE", help="picture or 128-byte template")
    compare.add_argument("b", type=Path, metavar="PROBE", help="picture or 128-byte template")
    compare.add_argument(
        "--rate", default="1e-4", metavar="RATE", help="false match rate of the threshold"
    )
    evaluate = _action(actions, "evaluate", "measure accuracy on pairs of pictures")
    evaluate.add_argument("--images", type=Path, required=True, metavar="DIR", help="pictures")
    evaluate.add_argument(
        "--pairs", type=Path, required=True, metavar="FILE", help="which to compare, as LFW's"
    )
    evaluate.add_argument("--plot", type=Path, metavar="PNG", help="DET curve and histogram")
    evaluate.add_argument(
        "--photo",
        type=values.count(16, 512),
        metavar="PX",
        help="first pictures as WebP photos of this size",
    )
    calibrate = _action(actions, "calibrate", "measure thresholds on folders of people")
    calibrate.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="a folder of pictures a person"
    )
    calibrate.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where the thresholds go; default: beside the manifest",
    )
    render = _action(actions, "spoof-render", "render attack and bona fide clips")
    render.add_argument("--faces", type=Path, required=True, metavar="DIR", help="pictures")
    render.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the clips go")
    render.add_argument(
        "--clips", type=values.count(1, 10_000), default=20, metavar="N", help="clips a species"
    )
    render.add_argument(
        "--frames",
        type=values.count(1, 10_000),
        default=15,
        metavar="N",
        help="frames a clip, 15 a second",
    )
    render.add_argument(
        "--seed",
        type=values.count(0, 2**32 - 1),
        default=1,
        metavar="N",
        help="the same seed draws the same clips",
    )
    spoof = _action(actions, "spoof-eval", "measure the liveness layer on folders of clips")
    spoof.add_argument(
        "--clips", type=Path, required=True, metavar="DIR", help="a folder of clips a species"
    )
    spoof.add_argument(
        "--fps",
        type=values.number(1, 240),
        default=15.0,
        metavar="N",
        help="frames a second of the clips",
    )


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    action.add_argument("--json", action="store_true", help="machine-readable result")
    action.add_argument(
        "--models", metavar="DIR", default="", help="your models; default: the shipped"
    )
    action.add_argument("--detector", default="", metavar="NAME", help="default: the manifest's")
    action.add_argument("--embedder", default="", metavar="NAME", help="default: the manifest's")
    action.add_argument(
        "--runtime",
        default="auto",
        choices=("auto", "litert", "tflite-runtime"),
        help="what computes",
    )
    action.add_argument(
        "--threads", type=values.count(1, 64), default=1, metavar="N", help="of the network"
    )
    return action


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action; return the exit code."""
    from agent.biometrics.errors import FaceRejected, ModelError
    from agent.reason import Reason

    actions = {
        "enroll": _enroll, "compare": _compare, "evaluate": _evaluate, "calibrate": _calibrate,
        "spoof-render": _spoof_render, "spoof-eval": _spoof_eval,
    }  # fmt: skip
    try:
        return actions[arguments.action](arguments)
    except FaceRejected as error:
        print(f"idgate face: {error}", file=sys.stderr)
        # A file that is no picture is a mistake of the call; a face that is no good is an answer.
        return Exit.SETTINGS if error.reason is Reason.REFERENCE_INVALID else Exit.NO
    except OSError as error:
        print(f"idgate face: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 2
    except (ModelError, ValueError) as error:
        print(f"idgate face: {error}", file=sys.stderr)
        return 2


def _open(arguments: argparse.Namespace) -> tuple[FaceDetector, Embedder]:
    from agent.biometrics.face.session import open_models
    from agent.settings.model import FaceConfig

    return open_models(
        FaceConfig(
            runtime=arguments.runtime,
            threads=arguments.threads,
            detector=arguments.detector,
            embedder=arguments.embedder,
            models_dir=arguments.models,
        )
    )


def _enroll(arguments: argparse.Namespace) -> int:
    from agent.biometrics.errors import FaceRejected
    from agent.biometrics.face.enroll import Sample, choose, encode_photo, locate, take_sample
    from agent.biometrics.picture import open_picture

    detector, embedder = _open(arguments)
    good: list[tuple[Sample, Path]] = []
    report: list[dict[str, Any]] = []
    for path in arguments.images:
        row: dict[str, Any] = {"image": path.name, "used": False, "problems": []}
        try:
            sample = take_sample(open_picture(path.read_bytes()), detector, embedder)
        except FaceRejected as rejected:
            row["problems"] = [rejected.detail]
        else:
            row["quality"] = {key: round(value, 3) for key, value in sample.quality.values.items()}
            row["problems"] = [str(check) for check in sample.quality.failed]
            row["used"] = sample.quality.good
            if sample.quality.good:
                good.append((sample, path))
        report.append(row)
    if not arguments.json:
        for row in report:
            print(f"{row['image']}: {', '.join(row['problems']) or 'good'}")
    chosen = choose([sample for sample, _ in good], embedder.thresholds.at("1e-2"))
    data = embedder.template(chosen.vector)
    if arguments.photo:
        source = next(path for sample, path in good if sample is chosen)
        located = locate(open_picture(source.read_bytes()), detector)
        how: dict[str, Any] = {"size_px": arguments.photo, "kind": "WEBP", "quality": 30}
        data = encode_photo(*located, embedder, **how)
    arguments.out.write_bytes(data)
    if arguments.json:
        print(json.dumps({"model": embedder.model_id, "pictures": report}, indent=2))
    else:
        what = "photo" if arguments.photo else f"template of model {embedder.model_id}"
        print(f"{what} of {len(data)} bytes written to {arguments.out}")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from agent.biometrics.face.compare import cosine
    from agent.biometrics.face.embed import TEMPLATE_BYTES
    from agent.biometrics.face.enroll import locate
    from agent.biometrics.picture import open_picture

    detector, embedder = _open(arguments)
    thresholds = embedder.thresholds
    if arguments.rate not in thresholds.rates:
        raise ValueError(f"--rate is one of {', '.join(thresholds.rates)}")
    vectors = []
    for path in (arguments.a, arguments.b):
        data = path.read_bytes()
        if len(data) == TEMPLATE_BYTES:
            vectors.append([embedder.read_template(data)])
            continue
        picture, face = locate(open_picture(data), detector)
        chip = embedder.align(picture, face.points)
        if path is arguments.a:
            vectors.append([embedder.embed_reference(chip)])
        else:
            vectors.append([embedder.embed(chip), embedder.embed(chip, mirrored=True)])
    similarity = sum(cosine(vectors[0][0], probe) for probe in vectors[1]) / len(vectors[1])
    threshold = thresholds.at(arguments.rate)
    result = {
        "similarity": round(similarity, 4),
        "threshold": threshold,
        "match": similarity >= threshold,
        "false_match_rate": thresholds.false_match_rate(similarity),
        "model": embedder.model_id,
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        word = "match" if result["match"] else "no match"
        print(f"{word}: similarity {result['similarity']}, threshold {threshold}")
        print(f"strangers reach this similarity at a rate of {result['false_match_rate']:.2g}")
    return 0 if result["match"] else 1


def _evaluate(arguments: argparse.Namespace) -> int:
    from agent.biometrics.face import evaluate as measure
    from agent.biometrics.face.metrics import accuracy, rates

    detector, embedder = _open(arguments)
    pairs = measure.read_pairs(arguments.pairs.read_text(encoding="utf-8"))
    names = sorted({name for pair in pairs for name in (pair.first, pair.second)})
    looks = measure.embed_files(arguments.images, names, detector, embedder, progress=_progress)
    references = None
    if arguments.photo:
        references = measure.embed_photos(
            arguments.images,
            sorted({pair.first for pair in pairs}),
            detector,
            embedder,
            size_px=arguments.photo,
            progress=_progress,
        )
    scored = measure.score_pairs(pairs, looks, references=references)
    single = measure.score_pairs(pairs, looks, references=references, one_look=True)
    mean, deviation = accuracy(scored.scores, scored.same, scored.folds)
    found = rates(scored.scores[scored.same], scored.scores[~scored.same])
    result = {
        "model": embedder.model_id,
        "detector": detector.name,
        "runtime": embedder.runtime,
        "pairs": len(pairs),
        "pictures": scored.pictures,
        "failure_to_acquire": scored.failed / max(scored.pictures, 1),
        "accuracy": mean,
        "accuracy_deviation": deviation,
        "accuracy_one_look": accuracy(single.scores, single.same, single.folds)[0],
        "eer": found.eer,
        "tar": found.tar,
        "thresholds": found.thresholds,
    }
    if arguments.plot:
        from agent.biometrics.face.plot import plot

        plot(arguments.plot, scored.scores, scored.same)
    _show(result, json_form=arguments.json)
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    from agent.biometrics.face import evaluate as measure
    from agent.biometrics.face.metrics import rates
    from agent.biometrics.manifest import shipped_dir
    from agent.biometrics.manifest_write import write_calibration

    detector, embedder = _open(arguments)
    found = measure.people(arguments.images)
    names = [name for pictures in found.values() for name in pictures]
    looks = measure.embed_files(arguments.images, names, detector, embedder, progress=_progress)
    genuine, impostor = measure.all_pairs(looks)
    table = measure.thresholds(impostor)
    if "1e-2" not in table:
        raise ValueError(
            f"{impostor.size} pairs of different people are too few: a false match rate of 1e-2 "
            "needs 3,000, so some 80 people; 1e-4 needs 300,000, some 800 people"
        )
    source = f"{len(found)} people, {len(names)} pictures, {impostor.size} impostor pairs"
    directory = arguments.out or Path(arguments.models or shipped_dir())
    path = write_calibration(directory, embedder.spec, table, source)
    result: dict[str, Any] = {"written": str(path), "from": source, "thresholds": table}
    if genuine.size:
        result |= {"genuine_pairs": genuine.size, "tar": rates(genuine, impostor, tuple(table)).tar}
    _show(result, json_form=arguments.json)
    return 0


def _spoof_render(arguments: argparse.Namespace) -> int:
    from agent.biometrics.liveness.spoof_render import render_folder

    counts = render_folder(
        arguments.faces,
        arguments.out,
        _open(arguments)[0],
        clips=arguments.clips,
        frames=arguments.frames,
        seed=arguments.seed,
        progress=_progress,
    )
    _show({"clips": counts}, json_form=arguments.json)
    return 0


def _spoof_eval(arguments: argparse.Namespace) -> int:
    from agent.biometrics.liveness.spoof_evaluate import evaluate_folder

    result = evaluate_folder(
        arguments.clips, _open(arguments)[0], fps=arguments.fps, progress=_progress
    )
    _show(result, json_form=arguments.json)
    return 0


def _show(result: dict[str, Any], *, json_form: bool) -> None:
    if json_form:
        print(json.dumps(result, indent=2))
        return
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{key.replace('_', ' ')}:")
            for name, each in value.items():
                print(f"    {name}: {_short(each)}")
        else:
            print(f"{key.replace('_', ' ')}: {_short(value)}")


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _progress(done: int, total: int) -> None:
    """Draw a bar on a terminal, nothing into a file."""
    if not sys.stderr.isatty() or (done % 20 and done != total):
        return
    filled = 40 * done // max(total, 1)
    end = "\n" if done == total else ""
    print(f"\r[{'#' * filled:40}] {done}/{total}", end=end, file=sys.stderr, flush=True)
