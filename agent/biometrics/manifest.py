"""The model manifest: what each TFLite file is, and what a gate must know to use it.

Rules:
- A model is used only when its file's SHA-256 is the manifest's; the bytes that were hashed are the
  bytes that run, so a file exchanged in between changes nothing.
- A model's `name` is its identity: templates in credentials name it as their issuer. Other weights,
  another input scale or other chip points are another name.
- Thresholds stand by false match rate (ISO/IEC 2382-37.09.08), measured through this product's own
  detector and alignment. An embedder without thresholds is not used: it has to be calibrated.
- `calibration.toml` beside the manifest, written by `idgate face calibrate`, replaces the
  thresholds of the models it names, as long as the model's SHA-256 is the one that was calibrated.

The file is TOML; `docs/face.md` shows an entry. Pictures are RGB, values 0..255; the network is fed
`(value - mean) / std`, quantised with the scale and zero point that stand in the TFLite file.
"""

from __future__ import annotations

import hashlib
import itertools
import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from agent.biometrics.errors import ModelError

__all__ = [
    "CALIBRATION",
    "MANIFEST",
    "Calibration",
    "ChipSpec",
    "DetectorSpec",
    "Golden",
    "InputSpec",
    "Manifest",
    "ModelKind",
    "ModelSpec",
    "PointsSpec",
    "load_manifest",
    "read_model",
    "shipped_dir",
]

MANIFEST = "manifest.toml"
CALIBRATION = "calibration.toml"
MAX_MODEL_BYTES = 64 << 20

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Rate = Annotated[str, Meta(pattern=r"^1e-[0-9]$")]
Score = Annotated[float, Meta(ge=-1, le=1)]
ModelKind = Literal["face-embedder", "face-detector", "face-points"]
Triple = tuple[float, float, float]


class _Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class InputSpec(_Table, frozen=True, kw_only=True):
    """The picture a network takes: NHWC, RGB, fed as `(value - mean) / std`."""

    height: Annotated[int, Meta(ge=16, le=1024)]
    width: Annotated[int, Meta(ge=16, le=1024)]
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)


class ChipSpec(_Table, frozen=True, kw_only=True):
    """Where the five points lie in the aligned chip: (x, y) pixels of the input.

    Right is the person's right, so left in the picture.
    """

    right_eye: tuple[float, float]
    left_eye: tuple[float, float]
    nose: tuple[float, float]
    right_mouth: tuple[float, float]
    left_mouth: tuple[float, float]

    def array(self) -> NDArray[np.float32]:
        """Return the points as (5, 2) float32."""
        rows = (self.right_eye, self.left_eye, self.nose, self.right_mouth, self.left_mouth)
        return np.asarray(rows, dtype=np.float32)


class DetectorSpec(_Table, frozen=True, kw_only=True):
    """How the outputs of a detector are read.

    `anchor-free`: for each stride three NHWC outputs, found by their shape (input/stride cells, and
    1, 4 or 10 channels): score, box, and five points as (x, y) offsets from the cell's centre in
    units of the stride. A `centre-exp` box is the offset of its centre and the logarithms of its
    sides; an `ltrb` box the distances of its four sides; all in units of the stride.
    The picture is scaled into the input's upper left corner, the rest is `fill`.
    `yunet`: a file of OpenCV's `FaceDetectorYN`.
    """

    decoder: Literal["anchor-free", "yunet"] = "anchor-free"
    strides: tuple[Annotated[int, Meta(ge=2, le=128)], ...] = (8,)
    box: Literal["centre-exp", "ltrb"] = "centre-exp"
    box_activation: Literal["none", "exp"] = "none"
    activation: Literal["sigmoid", "none"] = "sigmoid"
    fill: Annotated[int, Meta(ge=0, le=255)] = 128
    score_threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    iou_threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.4
    refine: str = ""
    """Name of the `face-points` model that confirms each face and places its points."""


class PointsSpec(_Table, frozen=True, kw_only=True):
    """How a second network confirms a face and places its points.

    It sees the face brought to `ChipSpec`'s points. Outputs, found by shape: one score (logit), and
    a map of logits for each point, five channels of input/stride cells; the point is the mean cell
    under the map's softmax.
    """

    stride: Annotated[int, Meta(ge=1, le=32)] = 4
    score_threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    passes: Annotated[int, Meta(ge=1, le=3)] = 1
    """How often it runs, each time from its own points."""
    fill: Annotated[int, Meta(ge=0, le=255)] = 128


class Golden(_Table, frozen=True, kw_only=True):
    """The right answer to a fixed picture, tried at every start.

    The picture is a ramp: R = 255x/(W-1), G = 255y/(H-1), B = 255(x+y)/(W+H-2), rounded down.
    `heads` holds the first values of each output as they leave the network (int8 or float),
    outputs in the order of their shapes, largest first.
    """

    heads: tuple[tuple[float, ...], ...]
    tolerance: Annotated[float, Meta(ge=0)] = 4.0
    """Largest difference of one value, in the output's own units."""


class ModelSpec(_Table, frozen=True, kw_only=True):
    """One model."""

    name: Name
    kind: ModelKind
    file: FileName
    sha256: Sha256
    licence: str
    origin: str
    card: str = ""
    input: InputSpec
    chip: ChipSpec | None = None
    detector: DetectorSpec | None = None
    points: PointsSpec | None = None
    golden: Golden | None = None
    thresholds: dict[Rate, Score] = {}
    """Cosine by false match rate."""
    thresholds_from: str = ""
    """What the thresholds were measured on, and how."""

    @property
    def calibrated(self) -> bool:
        """True when the model has thresholds to decide with."""
        return bool(self.thresholds)


class Manifest(_Table, frozen=True, kw_only=True):
    """The whole file."""

    detector: Name
    """The detector that is used where the settings name none."""
    embedder: Name
    model: tuple[ModelSpec, ...]

    def find(self, name: str, kind: ModelKind) -> ModelSpec:
        """Return a model by name; an empty name takes the manifest's default for the kind.

        Raises:
            ModelError: there is none of this name and kind.
        """
        defaults = {"face-detector": self.detector, "face-embedder": self.embedder}
        wanted = name or defaults.get(kind, "")
        for spec in self.model:
            if spec.name == wanted and spec.kind == kind:
                return spec
        known = ", ".join(spec.name for spec in self.model if spec.kind == kind) or "none"
        raise ModelError(f"no {kind} named {wanted!r} in the manifest; there are: {known}")


class CalibratedModel(_Table, frozen=True, kw_only=True):
    """Thresholds measured by an operator for one model file."""

    sha256: Sha256
    thresholds: dict[Rate, Score]
    thresholds_from: str = ""


class Calibration(_Table, frozen=True, kw_only=True):
    """`calibration.toml`: model name to thresholds."""

    model: dict[Name, CalibratedModel] = {}


def shipped_dir() -> Path:
    """Return the directory of the models that come with the package."""
    import models

    return Path(next(iter(models.__path__)))


T = TypeVar("T", bound=_Table)


def _read(path: Path, kind: type[T]) -> T:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(table, kind)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"{path}: {error}") from None


def load_manifest(directory: Path | None = None, *, calibrated: bool = True) -> Manifest:
    """Read a directory's manifest, and the operator's calibration beside it.

    Args:
        directory: holds `manifest.toml`; None takes the shipped one.
        calibrated: let the operator's calibration replace thresholds.

    Raises:
        ModelError: a file is missing, malformed or contradicts itself.
    """
    directory = shipped_dir() if directory is None else directory
    manifest = _read(directory / MANIFEST, Manifest)
    _check(manifest, directory / MANIFEST)
    path = directory / CALIBRATION
    if not (calibrated and path.exists()):
        return manifest
    calibration = _read(path, Calibration)
    return msgspec.structs.replace(
        manifest, model=tuple(_calibrate(spec, calibration, path) for spec in manifest.model)
    )


def _calibrate(spec: ModelSpec, calibration: Calibration, path: Path) -> ModelSpec:
    found = calibration.model.get(spec.name)
    if found is None:
        return spec
    if found.sha256 != spec.sha256:
        raise ModelError(f"{path}: {spec.name} was calibrated with another file; calibrate again")
    _check_thresholds(found.thresholds, f"{path}: {spec.name}")
    return msgspec.structs.replace(
        spec, thresholds=found.thresholds, thresholds_from=found.thresholds_from
    )


def _check(manifest: Manifest, path: Path) -> None:
    names = [spec.name for spec in manifest.model]
    if len(set(names)) != len(names):
        raise ModelError(f"{path}: two models have the same name")
    for spec in manifest.model:
        where = f"{path}: {spec.name}"
        if spec.kind != "face-detector" and spec.chip is None:
            raise ModelError(f"{where}: a {spec.kind} model needs the chip's five points")
        if spec.kind == "face-detector" and spec.detector is None:
            raise ModelError(f"{where}: a detector needs a detector table")
        if spec.kind == "face-points" and spec.points is None:
            raise ModelError(f"{where}: a face-points model needs a points table")
        if spec.detector is not None and spec.detector.refine:
            manifest.find(spec.detector.refine, "face-points")
        if 0 in spec.input.std:
            raise ModelError(f"{where}: std must not be zero")
        _check_thresholds(spec.thresholds, where)


def _check_thresholds(thresholds: dict[str, float], where: str) -> None:
    ordered = [thresholds[rate] for rate in sorted(thresholds)]
    if any(later <= earlier for earlier, later in itertools.pairwise(ordered)):
        raise ModelError(f"{where}: a lower false match rate needs a higher threshold")


def read_model(directory: Path, spec: ModelSpec) -> bytes:
    """Return the bytes of a model's file, exactly those that were hashed.

    Raises:
        ModelError: the file is missing, too large or not the manifest's.
    """
    path = directory / spec.file
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_MODEL_BYTES else b""
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    if not 0 < len(data) <= MAX_MODEL_BYTES:
        raise ModelError(f"{path}: {size} bytes; a model has 1 to {MAX_MODEL_BYTES}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != spec.sha256:
        raise ModelError(
            f"{path}: SHA-256 is {digest[:16]}..., the manifest says {spec.sha256[:16]}...: "
            "the file was changed or is another model; restore it or run `idgate models add`"
        )
    return data
