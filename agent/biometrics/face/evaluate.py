"""Measuring the face chain on pictures with known people: pairs, all pairs, thresholds.

Pictures go through the product's own detector, alignment and network. The first of a pair is the
reference, the second the probe, seen plain and mirrored as a session sees its frames; the quality
gate is not applied, so that every picture counts. Of several faces in a picture the one nearest the
middle is taken: in a benchmark the middle is the named person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected
from agent.biometrics.face.embed import Embedder
from agent.biometrics.face.enroll import encode_photo
from agent.biometrics.face.metrics import NO_SCORE, RULE_OF_30, fmr_threshold
from agent.biometrics.face.reference import embed_photo, enlarge
from agent.biometrics.picture import open_picture
from agent.biometrics.types import Face, FaceDetector

__all__ = [
    "Pair",
    "PairScores",
    "PictureVectors",
    "acquire",
    "all_pairs",
    "embed_files",
    "embed_photos",
    "people",
    "read_pairs",
    "score_pairs",
    "thresholds",
]

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".jp2")
RATES = ("1e-1", "1e-2", "1e-3", "1e-4", "1e-5", "1e-6")
BLOCK = 1024

Rgb = NDArray[np.uint8]
Vector = NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures, by their paths under the folder, and whether they show one person."""

    first: str
    second: str
    same: bool
    fold: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """Scores of pairs; `failed` pictures had no face and score `NO_SCORE`."""

    scores: NDArray[np.float32]
    same: NDArray[np.bool_]
    folds: NDArray[np.int64]
    pictures: int
    failed: int


def read_pairs(text: str) -> list[Pair]:
    """Return the pairs of a file.

    Two forms are read: that of Labeled Faces in the Wild (a line with folds and pairs a fold, then
    `NAME I J` and `NAME I NAME J`), and lines `FILE FILE 0|1` separated by blanks, tabs or commas.

    Raises:
        ValueError: a line is neither.
    """
    lines = [line.replace(",", "\t").split() for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else []
    if len(first) in (1, 2) and all(word.isdigit() for word in first):
        per_fold = 2 * int(first[-1])
        return [_lfw(words, number // per_fold) for number, words in enumerate(lines[1:])]
    pairs = []
    for words in lines:
        if len(words) != 3 or words[2] not in ("0", "1"):
            raise ValueError(f"not a pair: {' '.join(words)[:80]}")
        pairs.append(Pair(words[0], words[1], words[2] == "1"))
    return pairs


def _lfw(words: list[str], fold: int) -> Pair:
    try:
        if len(words) == 3:
            name, i, j = words
            return Pair(_lfw_file(name, i), _lfw_file(name, j), True, fold)
        name, i, other, j = words
    except ValueError:
        raise ValueError(f"not a pair: {' '.join(words)[:80]}") from None
    return Pair(_lfw_file(name, i), _lfw_file(other, j), False, fold)


def _lfw_file(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}.jpg"


def acquire(picture: Rgb, detector: FaceDetector) -> tuple[Rgb, Face] | None:
    """Return the face nearest the picture's middle and the picture it was found in, else None.

    A picture in which nothing is found is tried again enlarged and framed.
    """
    for attempt in (picture, None):
        shown = enlarge(picture) if attempt is None else attempt
        faces = detector.detect(shown)
        if faces:
            middle = np.array([shown.shape[1], shown.shape[0]]) / 2

            def off(face: Face, middle: NDArray[np.float64] = middle) -> float:
                centre = (face.box.x + face.box.width / 2, face.box.y + face.box.height / 2)
                return float(np.hypot(*(middle - centre))) - face.box.width / 2

            return shown, min(faces, key=off)
    return None


@dataclass(frozen=True, slots=True, eq=False)
class PictureVectors:
    """A picture's vectors: as a reference, and as a probe seen plain and mirrored."""

    reference: Vector
    plain: Vector
    mirrored: Vector

    @property
    def probe(self) -> Vector:
        """Its product with a unit reference is the mean of the two vectors' scores."""
        return np.asarray((_unit(self.plain) + _unit(self.mirrored)) / 2, dtype=np.float32)


def vectors_of(picture: Rgb, face: Face, embedder: Embedder) -> PictureVectors:
    """Return a face's vectors; the reference went through the 128 bytes of a template."""
    chip = embedder.align(picture, face.points)
    template = embedder.template(embedder.embed_reference(chip))
    mirrored = embedder.embed(chip, mirrored=True)
    return PictureVectors(embedder.read_template(template), embedder.embed(chip), mirrored)


def embed_files(
    folder: Path,
    names: Sequence[str],
    detector: FaceDetector,
    embedder: Embedder,
    *,
    progress: Progress | None = None,
) -> dict[str, PictureVectors | None]:
    """Return each picture's vectors, None where no face was found.

    Args:
        folder: what the names are relative to.
        names: picture files.
        detector: finds the face.
        embedder: makes the vectors.
        progress: called with pictures done and all.

    Raises:
        OSError: a file cannot be read.
    """
    found: dict[str, PictureVectors | None] = {}
    for done, name in enumerate(names, 1):
        found[name] = None
        try:
            picture = open_picture((folder / name).read_bytes())
            taken = acquire(picture, detector)
        except FaceRejected:
            taken = None
        if taken is not None:
            found[name] = vectors_of(*taken, embedder)
        if progress is not None:
            progress(done, len(names))
    return found


def score_pairs(
    pairs: Sequence[Pair],
    vectors: dict[str, PictureVectors | None],
    *,
    references: dict[str, Vector | None] | None = None,
    one_look: bool = False,
) -> PairScores:
    """Return the scores of pairs: the first picture is the reference, the second the probe.

    Args:
        pairs: what to compare.
        vectors: picture to vectors.
        references: other vectors for the first pictures, where references are made otherwise.
        one_look: score the plain probe alone, as a gate that decides on one frame would.
    """
    scores = np.full(len(pairs), NO_SCORE, dtype=np.float32)
    for number, pair in enumerate(pairs):
        first, probe = vectors[pair.first], vectors[pair.second]
        reference = None if first is None else first.reference
        if references is not None:
            reference = references[pair.first]
        if reference is None or probe is None:
            continue
        seen = _unit(probe.plain) if one_look else probe.probe
        scores[number] = float(np.dot(_unit(reference), seen))
    return PairScores(
        scores,
        np.array([pair.same for pair in pairs], dtype=bool),
        np.array([pair.fold for pair in pairs], dtype=np.int64),
        len(vectors),
        sum(each is None for each in vectors.values()),
    )


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)


def people(folder: Path) -> dict[str, list[str]]:
    """Return person to picture files of a folder with one sub-folder a person."""
    found: dict[str, list[str]] = {}
    for person in sorted(each for each in folder.iterdir() if each.is_dir()):
        names = sorted(n.name for n in person.iterdir() if n.suffix.lower() in PICTURES)
        if names:
            found[person.name] = [f"{person.name}/{name}" for name in names]
    return found


def all_pairs(
    vectors: dict[str, PictureVectors | None],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return genuine and impostor scores of every pair of pictures, each pair once.

    Args:
        vectors: `person/picture` to vectors.
    """
    kept = {name: each for name, each in vectors.items() if each is not None}
    labels = np.unique([name.split("/")[0] for name in kept], return_inverse=True)[1]
    references = np.array([_unit(each.reference) for each in kept.values()], dtype=np.float32)
    probes = np.array([each.probe for each in kept.values()], dtype=np.float32)
    genuine, impostor = [], []
    for start in range(0, len(kept), BLOCK):
        rows = references[start : start + BLOCK] @ probes[start:].T
        above = np.triu(np.ones(rows.shape, dtype=bool), 1)
        same = labels[start : start + BLOCK, np.newaxis] == labels[np.newaxis, start:]
        genuine.append(rows[above & same])
        impostor.append(rows[above & ~same])
    return np.concatenate(genuine), np.concatenate(impostor)


def thresholds(impostor: NDArray[np.float32]) -> dict[str, float]:
    """Return thresholds by false match rate, for the rates that enough impostor pairs can show."""
    return {
        rate: round(fmr_threshold(impostor, float(rate)), 4)
        for rate in RATES
        if float(rate) * len(impostor) >= RULE_OF_30
    }


def embed_photos(
    folder: Path,
    names: Sequence[str],
    detector: FaceDetector,
    embedder: Embedder,
    *,
    size_px: int,
    kind: str = "WEBP",
    quality: int = 30,
    progress: Progress | None = None,
) -> dict[str, Vector | None]:
    """Return each picture's vector after it was a credential's photo of a given size.

    The photo is cut around the face, encoded, decoded and read as a reference is.

    Args:
        folder: what the names are relative to.
        names: picture files.
        detector: finds the face.
        embedder: makes the vector.
        size_px: width and height of the photo.
        kind: Pillow's name of the format.
        quality: see `agent.biometrics.face.enroll.encode_photo`.
        progress: called with pictures done and all.
    """
    found: dict[str, Vector | None] = {}
    for done, name in enumerate(names, 1):
        found[name] = None
        try:
            picture = open_picture((folder / name).read_bytes())
            taken = acquire(picture, detector)
            if taken is not None:
                small = encode_photo(*taken, embedder, size_px=size_px, kind=kind, quality=quality)
                found[name] = embed_photo(open_picture(small), detector, embedder)
        except FaceRejected:
            found[name] = None
        if progress is not None:
            progress(done, len(names))
    return found
