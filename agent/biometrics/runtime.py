"""TFLite, by either of its two interpreters, and proof that the one in use computes rightly.

Rules:
- The interpreter is chosen by name: `litert` (ai-edge-litert) or `tflite-runtime`. `auto` takes the
  faster one present: LiteRT first, which ran static int8 networks five times as fast as
  tflite-runtime 2.14 (`tests/bench/bench_face.py` measures both here), then tflite-runtime.
- A model runs its golden picture before it is used. A wrong answer is an error: runtimes have
  returned zeros for models that they could not compute.
- LiteRT without XNNPACK still computes, at a fraction of the speed: that is an error too, unless
  the delegate is switched off by name. (tflite-runtime's XNNPACK takes float networks only.)
- A network is used by one thread at a time. `wipe()` runs it once on zeros, so that neither the
  picture nor what was computed from it stays in its buffers.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import ModelError
from agent.biometrics.manifest import Golden, ModelSpec
from hal import library

__all__ = [
    "DEFAULT_OPTIONS",
    "RUNTIMES",
    "Network",
    "Options",
    "Quantisation",
    "choose_runtime",
    "golden_heads",
    "installed_runtimes",
    "ramp",
]

RUNTIMES = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
"""Runtime name to module, fastest first."""
GOLDEN_VALUES = 32

Tensor = NDArray[Any]
Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Scale and zero point of a tensor; a float tensor has scale 1 and zero point 0."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Options:
    """How networks run.

    Attributes:
        runtime: `litert`, `tflite-runtime` or `auto`.
        threads: threads of an interpreter.
        delegate: empty for the runtime's own choice (XNNPACK), `none` for the plain kernels, or the
            path of a delegate library.
    """

    runtime: str = "auto"
    threads: int = 1
    delegate: str = ""


DEFAULT_OPTIONS = Options()


def installed_runtimes() -> tuple[str, ...]:
    """Return the runtimes that are installed, fastest first; from Python 3.12 on, only LiteRT."""
    return tuple(
        name
        for name, module in RUNTIMES.items()
        if importlib.util.find_spec(module.partition(".")[0]) is not None
    )


def choose_runtime(name: str) -> str:
    """Return the runtime to use: `name` itself, or for `auto` the faster one that is installed.

    Raises:
        ModelError: it is not installed.
    """
    wanted = tuple(RUNTIMES) if name == "auto" else (name,)
    for candidate in installed_runtimes():
        if candidate in wanted:
            return candidate
    raise ModelError(f"TFLite runtime {' or '.join(wanted)} is not installed; run ./setup.sh")


def ramp(height: int, width: int) -> Rgb:
    """Return the golden picture, (height, width, 3) uint8."""
    y, x = np.mgrid[0:height, 0:width]
    both = (x + y) * 255 // (width + height - 2)
    planes = (x * 255 // (width - 1), y * 255 // (height - 1), both)
    return np.asarray(np.stack(planes, axis=-1), dtype=np.uint8)


class Network:
    """One model in one interpreter, checked against its golden vector.

    Args:
        spec: the manifest's entry.
        data: the model file's bytes, already compared with the manifest's hash.
        options: how it runs.

    Raises:
        ModelError: the file is no model of the declared shape, or the answer is wrong.
    """

    def __init__(
        self,
        spec: ModelSpec,
        data: bytes,
        options: Options = DEFAULT_OPTIONS,
    ) -> None:
        self.name = spec.name
        self.runtime = choose_runtime(options.runtime)
        self._interpreter = _interpreter(spec.name, data, self.runtime, options)
        detail = self._interpreter.get_input_details()[0]
        shape = (1, spec.input.height, spec.input.width, 3)
        if tuple(int(n) for n in detail["shape"]) != shape:
            raise ModelError(
                f"model {self.name}: input is {tuple(detail['shape'])}, the manifest says {shape}"
            )
        self._input: int = detail["index"]
        self._dtype = np.dtype(detail["dtype"])
        outputs = self._interpreter.get_output_details()
        self._outputs = sorted(outputs, key=lambda each: tuple(-int(n) for n in each["shape"]))
        self.shapes = tuple(tuple(int(n) for n in each["shape"]) for each in self._outputs)
        self.quantisations = tuple(_quantisation(each) for each in self._outputs)
        self._table = _input_table(spec, self._dtype, _quantisation(detail))
        self._height, self._width = spec.input.height, spec.input.width
        if spec.golden is not None:
            self.check(spec.golden)

    def run(self, picture: Rgb) -> list[Tensor]:
        """Run the network on a picture.

        Args:
            picture: (H, W, 3) uint8 RGB of the input's size.

        Returns:
            The outputs as they leave the network (int8, uint8 or float32), largest shape first.
        """
        expected = (self._height, self._width, 3)
        if picture.shape != expected or picture.dtype != np.uint8:
            raise ValueError(f"picture is {picture.shape} {picture.dtype}, not {expected} uint8")
        fed = self._feed(picture)
        self._interpreter.set_tensor(self._input, fed[np.newaxis])
        fed.fill(0)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(each["index"]) for each in self._outputs]

    def check(self, golden: Golden) -> None:
        """Run the golden picture and compare.

        Raises:
            ModelError: the answer is wrong.
        """
        heads = golden_heads(self)
        if [len(head) for head in heads] != [len(head) for head in golden.heads]:
            raise ModelError(f"model {self.name}: the golden vector is of another shape")
        worst = max(
            float(np.max(np.abs(np.asarray(ours) - np.asarray(right))))
            for ours, right in zip(heads, golden.heads, strict=True)
        )
        if not worst <= golden.tolerance:
            raise ModelError(
                f"model {self.name}: {self.runtime} computes a wrong answer (off by {worst:.1f}, "
                f"allowed {golden.tolerance:g}); use another runtime or restore the model"
            )

    def wipe(self) -> None:
        """Overwrite input, activations and outputs by running once on a black picture."""
        self.run(np.zeros((self._height, self._width, 3), dtype=np.uint8))

    def _feed(self, picture: Rgb) -> Tensor:
        """Normalise and quantise through a table: a network's input depends on 256 values only."""
        if self._table.ndim == 1:
            return np.take(self._table, picture)
        return np.stack([np.take(self._table[c], picture[..., c]) for c in range(3)], axis=-1)


def golden_heads(network: Network) -> tuple[tuple[float, ...], ...]:
    """Return what a network answers to the golden picture, the first values of each output."""
    outputs = network.run(ramp(network._height, network._width))  # noqa: SLF001 - same module
    return tuple(tuple(float(v) for v in out.reshape(-1)[:GOLDEN_VALUES]) for out in outputs)


def _interpreter(name: str, data: bytes, runtime: str, options: Options) -> Any:
    delegate = options.delegate
    try:
        module = importlib.import_module(RUNTIMES[runtime])
    except Exception as error:
        raise ModelError(
            f"TFLite runtime {runtime} cannot be loaded: {library.explain(error)}"
        ) from error
    arguments: dict[str, Any] = {"model_content": data, "num_threads": options.threads}
    if delegate == "none":
        plain = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        arguments["experimental_op_resolver_type"] = plain
    elif delegate:
        try:
            # Tried first by itself: the interpreters' own loader trips over a missing library.
            ctypes.CDLL(delegate)
            arguments["experimental_delegates"] = [module.load_delegate(delegate)]
        except (OSError, ValueError) as error:
            raise ModelError(f"delegate {delegate} cannot be loaded: {error}") from None
    try:
        interpreter = module.Interpreter(**arguments)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"model {name}: {runtime} cannot load it: {first}") from None
    if runtime == "litert" and not delegate and not _delegated(interpreter):
        raise ModelError(
            f"model {name}: this LiteRT runs without XNNPACK and would be too slow for a gate; "
            'install the ai-edge-litert wheel, or set face.delegate = "none" to accept it'
        )
    return interpreter


def _delegated(interpreter: Any) -> bool:
    """True when a delegate took part of the graph; the interpreter has no public word for it."""
    details = interpreter._get_ops_details()  # noqa: SLF001
    return any(each["op_name"] == "DELEGATE" for each in details)


def _quantisation(detail: dict[str, Any]) -> Quantisation:
    scale, zero_point = detail["quantization"]
    return Quantisation(float(scale) or 1.0, int(zero_point))


def _input_table(spec: ModelSpec, dtype: np.dtype[Any], quantisation: Quantisation) -> Tensor:
    """Return pixel value to input value: (256,) where the channels are alike, else (3, 256)."""
    mean, std = np.asarray(spec.input.mean), np.asarray(spec.input.std)
    real = (np.arange(256)[np.newaxis] - mean[:, np.newaxis]) / std[:, np.newaxis]
    if dtype == np.float32:
        table = real.astype(np.float32)
    elif dtype in (np.int8, np.uint8):
        limits = np.iinfo(dtype)
        steps = np.round(real / quantisation.scale) + quantisation.zero_point
        table = np.clip(steps, limits.min, limits.max).astype(dtype)
    else:
        raise ModelError(f"model {spec.name}: input of type {dtype} is not supported")
    return np.asarray(table[0] if (table == table[0]).all() else table)
