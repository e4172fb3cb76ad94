"""Trained network -> float TFLite -> static int8 TFLite, with its golden vector.

Static post-training quantisation: weights int8 per channel, activations int8, ranges from
calibration pictures. Dynamic-range quantisation is not offered: tflite-runtime 2.14 runs today's
form of it and silently answers zeros.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.training.nets import Deployed

GOLDEN_VALUES = 32  # of each output, as `agent.biometrics.runtime` compares them


def export_int8(network: nn.Module, pictures: np.ndarray, target: Path) -> Path:
    """Convert `network` and quantise it.

    Args:
        network: Maps (N, 3, H, W) float pictures, 0..255, to one output or a tuple.
        pictures: Calibration pictures, (N, H, W, 3) uint8, as the camera will give them.
        target: The int8 model to write; the float model is written beside it as `*_f32.tflite`.

    Returns:
        The float model's path.
    """
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    target.parent.mkdir(parents=True, exist_ok=True)
    exact = target.with_name(target.stem.removesuffix("_int8") + "_f32.tflite")
    example = torch.from_numpy(pictures[:1].astype(np.float32))
    litert_torch.convert(Deployed(network).eval(), (example,)).export(str(exact))
    signature, names = next(iter(Interpreter(str(exact)).get_signature_list().items()))
    work = quantizer.Quantizer(str(exact))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    samples = [{names["inputs"][0]: picture[None].astype(np.float32)} for picture in pictures]
    ranges = work.calibrate({signature: samples})
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / target.name
        work.quantize(ranges).export_model(str(fresh), overwrite=True)
        shutil.copyfile(fresh, target)
    return exact


def quantised_outputs(path: Path, picture: np.ndarray) -> list[np.ndarray]:
    """Run one (H, W, 3) uint8 picture in LiteRT.

    Returns:
        The int8 outputs, flat, in the product's order: largest shape first.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    into = interpreter.get_input_details()[0]
    scale, zero = into["quantization"]
    x = np.clip(np.round(picture / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(into["index"], x[None])
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    outputs.sort(key=lambda each: tuple(-int(n) for n in each["shape"]))
    return [interpreter.get_tensor(each["index"]).ravel() for each in outputs]


def golden_picture(rows: int, columns: int) -> np.ndarray:
    """The self-test's picture: three ramps, (rows, columns, 3) uint8."""
    y, x = np.mgrid[0:rows, 0:columns]
    planes = (
        x * 255 // (columns - 1),
        y * 255 // (rows - 1),
        (x + y) * 255 // (rows + columns - 2),
    )
    return np.stack(planes, axis=-1).astype(np.uint8)


def write_facts(path: Path, rows: int, columns: int) -> Path:
    """Write what the manifest says of this file alone, hash and golden vector, beside it as TOML.

    (Printed, it would drown in what the converter prints.)
    """
    heads = quantised_outputs(path, golden_picture(rows, columns))
    lines = [f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"', "heads = ["]
    for head in heads:
        values = [str(int(v)) for v in head[:GOLDEN_VALUES]]
        lines.append("  [")
        lines += [f"    {', '.join(values[i : i + 16])}," for i in range(0, len(values), 16)]
        lines.append("  ],")
    target = path.with_suffix(".toml")
    target.write_text("\n".join([*lines, "]", ""]))
    return target
