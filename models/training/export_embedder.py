"""Export a trained embedder as int8 TFLite.

    python -m models.training.export_embedder --chips CHIPS --checkpoint WORK/embedder.pt \
        --out models/my_embed_int8.tflite

Calibrates on chips. Beside the model, a TOML file of the same name says what the entry in
`models/manifest.toml` must say: hash and golden vector. Another network is another model: give it
another name in the manifest, and thresholds by `idgate face calibrate`.
"""

import argparse
from pathlib import Path

import numpy as np

from models.training.export import export_int8, write_facts
from models.training.nets import FaceEmbedder
from models.training.people import load_chips
from models.training.sizes import EMBEDDER_SIZE
from models.training.train_embedder import load_start

CALIBRATION_PICTURES = 160


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    export(arguments.chips, arguments.checkpoint, arguments.out)
    write_facts(arguments.out, EMBEDDER_SIZE, EMBEDDER_SIZE)


def export(chips: Path, checkpoint: Path, out: Path) -> None:
    """Quantise the checkpoint on a random choice of chips; the float model does not stay."""
    network = FaceEmbedder()
    load_start(network, checkpoint)
    pictures = load_chips(chips).pictures
    count = min(CALIBRATION_PICTURES, len(pictures))
    chosen = np.random.default_rng(7).choice(len(pictures), count, replace=False)
    export_int8(network, pictures[chosen], out).unlink()


if __name__ == "__main__":
    main()
