"""Fine-tune the face embedder on a folder of chips (see `people.py`).

    python -m models.training.train_embedder --chips CHIPS --start face_embed_weights.pt --work WORK

The student sees what a gate's camera makes of a face: turned, shifted, far away, blurred, badly
lit, compressed. It is pulled by two losses:

- distillation: to give the pooled features that its teacher (the weights it starts from) gives for
  the clean chip. This needs no names and cannot make the network forget;
- margin: to hold the training people apart by an angular margin (`--margin-weight`, 0 switches it
  off). Worth it from a few thousand people with several pictures each.

Started from nothing (`--start` left out), only the margin loss has anything to say.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from models.training.camera import CameraEffects
from models.training.loop import Schedule, train
from models.training.losses import MarginHead, distillation_loss
from models.training.nets import FaceEmbedder
from models.training.people import Chips, load_chips, read_names
from models.training.sizes import EMBEDDER_SIZE


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", type=Path, required=True)
    parser.add_argument("--exclude", type=Path, help="people to leave out, one name a line")
    parser.add_argument("--start", type=Path, help="weights to go on from, and to distil")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=0, help="instead of --minutes")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--margin-weight", type=float, default=0.05)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    schedule = Schedule(
        0 if arguments.steps else arguments.minutes,
        arguments.steps,
        arguments.batch,
        arguments.rate,
    )
    run(arguments, schedule)


def run(arguments: argparse.Namespace, schedule: Schedule) -> FaceEmbedder:
    """Train as the arguments say; the checkpoint is WORK/embedder.pt."""
    cv2.setNumThreads(1)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    margin = arguments.margin_weight if arguments.start else max(arguments.margin_weight, 1.0)
    excluded = read_names(arguments.exclude) if arguments.exclude else frozenset()
    chips = load_chips(arguments.chips, excluded, fewest=2 if margin else 1)
    student = FaceEmbedder()
    features = None
    if arguments.start:
        load_start(student, arguments.start)
        features = clean_features(student, chips)
    student = student.to(memory_format=torch.channels_last)
    head = MarginHead(student.fc.out_features, len(chips.names)) if margin else None
    batches = ChipBatches(chips, features, arguments.seed)

    def loss(network: nn.Module, x: Tensor, people: Tensor, clean: Tensor) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            pooled = network.features(x)
        pooled = pooled.float()
        parts = {}
        if features is not None:
            projection = network.fc.weight.detach()
            parts["distillation"] = distillation_loss(pooled, clean, projection)
        if head is not None:
            parts["margin"] = head(network.fc(pooled), people) * margin
        return parts

    extra = list(head.parameters()) if head else []
    return train(
        student,
        batches,
        loss,
        schedule=schedule,
        checkpoint=arguments.work / "embedder.pt",
        parameters=extra,
    )


def load_start(network: FaceEmbedder, path: Path) -> None:
    """Load weights: a checkpoint of this pipeline, or one with the state under `sd`."""
    state = torch.load(path, map_location="cpu")
    network.load_state_dict(state.get("sd", state))


@torch.inference_mode()
def clean_features(teacher: FaceEmbedder, chips: Chips, batch: int = 64) -> np.ndarray:
    """The teacher's pooled features of every chip as it is, (N, channels) float32."""
    parts = []
    for start in range(0, len(chips.pictures), batch):
        x = torch.from_numpy(chips.pictures[start : start + batch]).permute(0, 3, 1, 2).float()
        parts.append(teacher.features(x).numpy())
    return np.concatenate(parts)


class ChipBatches:
    """Draws augmented batches of chips with their people and clean features."""

    def __init__(self, chips: Chips, features: np.ndarray | None, seed: int) -> None:
        self._chips = chips
        self._features = features
        self._rng = np.random.default_rng(seed)
        self._effects = CameraEffects(torch.Generator().manual_seed(seed), strength=0.8)

    def __call__(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (N, 3, 150, 150), people (N,), clean features (N, channels) or (N, 0)."""
        chosen = self._rng.integers(len(self._chips.pictures), size=count)
        pictures = np.stack([moved(self._chips.pictures[i], self._rng) for i in chosen])
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
        x = self._effects(x.contiguous(memory_format=torch.channels_last))
        clean = np.zeros((count, 0), np.float32)
        if self._features is not None:
            clean = self._features[chosen]
        return x, torch.from_numpy(self._chips.people[chosen]), torch.from_numpy(clean)


def moved(chip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A chip with the detector's small errors, seen from far away, or compressed; or mirrored."""
    middle = ((EMBEDDER_SIZE - 1) / 2,) * 2
    matrix = cv2.getRotationMatrix2D(middle, float(rng.normal(0, 2.5)), float(rng.normal(1, 0.03)))
    matrix[:, 2] += rng.normal(0, 2, 2)
    size = (EMBEDDER_SIZE, EMBEDDER_SIZE)
    chip = cv2.warpAffine(chip, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.25:  # a far face, or a small photograph in the credential
        side = int(rng.integers(32, 90))
        small = cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA)
        method = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        if rng.random() < 0.5:
            small = compressed(small, rng)
        chip = cv2.resize(small, size, interpolation=method)
    elif rng.random() < 0.15:
        chip = compressed(chip, rng)
    return chip if rng.random() < 0.5 else np.ascontiguousarray(chip[:, ::-1])


def compressed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Through JPEG or WebP at a low quality."""
    kind, flag = (".jpg", cv2.IMWRITE_JPEG_QUALITY)
    if rng.random() < 0.5:
        kind, flag = (".webp", cv2.IMWRITE_WEBP_QUALITY)
    _, data = cv2.imencode(kind, picture, [flag, int(rng.integers(20, 70))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


if __name__ == "__main__":
    main()
