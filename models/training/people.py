"""Training faces for the embedder: a folder of people, aligned once into chips.

    python -m models.training.people --people FOLDER --chips CHIPS --models models

`FOLDER/PERSON/*.jpg` (any picture OpenCV reads; the largest face counts) becomes
`CHIPS/PERSON/*.png`: 150x150, aligned by the product's own detector, so that training sees what the
gate will see. A folder that holds 150x150 crops already is a folder of chips. `--exclude` names a
file with people to leave out, one a line: everyone who is in an evaluation set.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.training.sizes import EMBEDDER_SIZE

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
# Pictures are brought to this width or height before detection: as large as a gate's frame.
LONG_SIDE = 640


@dataclass(frozen=True, slots=True)
class Chips:
    """Aligned faces in memory.

    Attributes:
        pictures: (N, 150, 150, 3) uint8 RGB.
        people: (N,) int64, index of the person.
        names: The people's names, by index.
    """

    pictures: np.ndarray
    people: np.ndarray
    names: tuple[str, ...]


def main() -> None:
    """Parse the command line and align."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--chips", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--exclude", type=Path, help="people to leave out, one name a line")
    arguments = parser.parse_args()
    excluded = read_names(arguments.exclude) if arguments.exclude else frozenset()
    made, missed = align_people(arguments.people, arguments.chips, arguments.models, excluded)
    print(f"{made} faces aligned, {missed} pictures without one")


def comparable(name: str) -> str:
    """A name as lists of people can be compared: case, dots and underscores do not count."""
    return " ".join(name.lower().replace(".", " ").replace("_", " ").replace("-", " ").split())


def read_names(path: Path) -> frozenset[str]:
    """The names of a file, one a line, made comparable."""
    return frozenset(comparable(line) for line in path.read_text().splitlines() if line.strip())


def pictures_by_person(
    folder: Path, excluded: frozenset[str] = frozenset()
) -> dict[str, list[Path]]:
    """Map each person of `FOLDER/PERSON/*` who is not excluded to the pictures, both sorted."""
    result = {}
    for person in sorted(p for p in folder.iterdir() if p.is_dir()):
        if comparable(person.name) in excluded:
            continue
        pictures = sorted(p for p in person.iterdir() if p.suffix.lower() in PICTURES)
        if pictures:
            result[person.name] = pictures
    return result


def align_people(
    folder: Path, chips: Path, models: Path, excluded: frozenset[str]
) -> tuple[int, int]:
    """Write one chip for every picture with a face; give how many were made and missed."""
    made = missed = 0
    for person, files in pictures_by_person(folder, excluded).items():
        (chips / person).mkdir(parents=True, exist_ok=True)
        for file, chip in aligned(files, models):
            if chip is None:
                missed += 1
                continue
            target = chips / person / (file.stem + ".png")
            cv2.imwrite(str(target), cv2.cvtColor(chip, cv2.COLOR_RGB2BGR))
            made += 1
    return made, missed


def aligned(files: list[Path], models: Path) -> Iterator[tuple[Path, np.ndarray | None]]:
    """The chip of each file's largest face, or None, through the product's detector."""
    from agent.biometrics.face.detect import open_detector
    from agent.biometrics.geometry import similarity, warp
    from agent.biometrics.manifest import load_manifest

    manifest = load_manifest(models)
    detector = open_detector(models, manifest)
    chip = manifest.find("", "face-embedder").chip
    for file in files:
        picture = cv2.imread(str(file))
        if picture is None:
            yield file, None
            continue
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        scale = LONG_SIDE / max(picture.shape[:2])
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found = detector.detect(picture)
        if not found:
            yield file, None
            continue
        matrix = similarity(found[0].points, chip.array())
        yield file, warp(picture, matrix, (EMBEDDER_SIZE, EMBEDDER_SIZE))


def load_chips(folder: Path, excluded: frozenset[str] = frozenset(), fewest: int = 1) -> Chips:
    """Read a folder of chips.

    Args:
        folder: `FOLDER/PERSON/*`, every picture 150x150.
        excluded: People to leave out, comparable names.
        fewest: People with fewer pictures are left out; a margin loss wants two at least.

    Raises:
        ValueError: A picture is unreadable or of another size, or nobody is left.
    """
    pictures, people, names = [], [], []
    for person, files in pictures_by_person(folder, excluded).items():
        if len(files) < fewest:
            continue
        for file in files:
            picture = cv2.imread(str(file))
            if picture is None or picture.shape != (EMBEDDER_SIZE, EMBEDDER_SIZE, 3):
                raise ValueError(f"{file} is not a {EMBEDDER_SIZE}x{EMBEDDER_SIZE} picture")
            pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            people.append(len(names))
        names.append(person)
    if not names:
        raise ValueError(f"{folder} holds no person with {fewest} pictures")
    return Chips(np.stack(pictures), np.array(people, np.int64), tuple(names))


if __name__ == "__main__":
    main()
