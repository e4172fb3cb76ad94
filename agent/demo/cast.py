"""The demo's two faces and how they stand before the camera, and its one finger.

The pictures are public-domain portraits that well-known packages carry as sample data: Eileen
Collins (NASA, in scikit-image) and Grace Hopper (US Navy, in matplotlib). One picture each shows
the mechanism; it says nothing of the accuracy.

A person sways a little, as people do; a photo held up sways as a whole, with its straight edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from agent.demo.people import People
from hal.camera import Rgb
from hal.simulated.scene import Scene, Shown

if TYPE_CHECKING:
    from agent.credential.model import BiometricReference

__all__ = ["FACES", "FINGER_FAMILY", "Cast", "Figure", "LivingScene", "load_cast"]

FACES = ("eileen", "grace")
SWAY_PX = 5.0
FINGER_FAMILY: Final = "r307"
"""Of the modules in the demo's gates; templates of 512 bytes fit a code well."""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """Somebody, or a picture of somebody, before the camera.

    Attributes:
        picture: (H, W, 3) uint8 RGB, as large as it appears.
        mask: (H, W, 1) float32, 1 where it covers what is behind.
        left, top: where it stands in the frame, pixels.
        flat: a picture in a hand, which turns as a whole.
    """

    picture: Rgb
    mask: NDArray[np.float32] = field(repr=False)
    left: int
    top: int
    flat: bool = False

    def draw(self, frame: Rgb, now: float) -> None:
        """Draw it into a frame where it is at this moment."""
        import cv2

        dx = SWAY_PX * math.sin(2.1 * now) + 0.3 * SWAY_PX * math.sin(5.3 * now)
        dy = 0.5 * SWAY_PX * math.sin(1.3 * now)
        height, width = self.picture.shape[:2]
        shift = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
        size, edge = (width, height), cv2.BORDER_REPLICATE
        if self.flat:
            turned = shift_of(width, height, yaw=0.5 * math.sin(6.0 * now), dx=dx, dy=dy)
            picture = cv2.warpPerspective(self.picture, turned, size, borderMode=edge)
            mask = cv2.warpPerspective(self.mask, turned, size)[..., None]
        else:
            picture = cv2.warpAffine(self.picture, shift, size, borderMode=edge)
            mask = cv2.warpAffine(self.mask, shift, size)[..., None]
        behind = frame[self.top : self.top + height, self.left : self.left + width]
        mixed = picture * mask + behind * (1 - mask)
        frame[self.top : self.top + height, self.left : self.left + width] = mixed.astype(np.uint8)


def shift_of(width: int, height: int, *, yaw: float, dx: float, dy: float) -> NDArray[np.float64]:
    """Return how a flat thing appears that is turned about its upright and moved.

    Args:
        width: of the thing, pixels.
        height: of the thing, pixels.
        yaw: radians.
        dx: to the right, pixels.
        dy: down, pixels.
    """
    distance = 3.0 * width
    cos, sin = math.cos(yaw), math.sin(yaw)
    middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    turn = np.array([[distance * cos, 0, 0], [0, distance, 0], [sin, 0, distance]])
    back = np.array([[1, 0, width / 2 + dx], [0, 1, height / 2 + dy], [0, 0, 1]])
    return np.asarray(back @ turn @ middle, dtype=np.float64)


class LivingScene:
    """A scene in which figures sway; a `SceneSource` for the simulated camera.

    Args:
        seed: of background and grain.
    """

    def __init__(self, seed: int) -> None:
        self._scene = Scene(seed=seed)
        self._figures: tuple[Figure, ...] = ()

    def show(self, things: Sequence[Shown], figures: Sequence[Figure] = ()) -> None:
        """Put these in view, in place of what was there."""
        self._scene.show(*things)
        self._figures = tuple(figures)

    def render(self, now: float) -> Rgb:
        """Return what is in view, (720, 1280, 3) uint8 RGB."""
        picture = self._scene.render(now)
        for figure in self._figures:
            figure.draw(picture, now)
        return picture


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is at hand.

    Attributes:
        people: issuers and credentials.
        figures: the living by name, and `NAME-photo` held up.
        pull, plug: the network's cable.
    """

    people: People
    figures: dict[str, Figure]
    pull: Callable[[], None]
    plug: Callable[[], None]


def load_cast(now: int, *, pull: Callable[[], None], plug: Callable[[], None]) -> Cast:
    """Load the pictures, enrol both people, and make everybody's credentials.

    Args:
        now: Unix seconds.
        pull: cuts the network.
        plug: mends it.

    Raises:
        ModelError: the face models cannot be used.
    """
    pictures = {"eileen": _eileen(), "grace": _grace()}
    figures: dict[str, Figure] = {}
    for name, picture in pictures.items():
        figures[name] = _living(picture)
        figures[f"{name}-photo"] = _photo(picture)
    templates = {**_enrol(pictures), "ruth-finger": _enrol_finger("ruth")}
    return Cast(People(now, templates), figures, pull, plug)


def _eileen() -> Rgb:
    import skimage
    from PIL import Image

    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    return np.asarray(Image.open(path).convert("RGB"))[0:300, 80:370]


def _grace() -> Rgb:
    import matplotlib as mpl
    from PIL import Image

    path = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return np.asarray(Image.open(path).convert("RGB"))[0:520, 20:500]


def _enrol(pictures: dict[str, Rgb]) -> dict[str, BiometricReference]:
    """Return a template of each, made with the gate's own models."""
    from agent.biometrics.face.enroll import take_sample
    from agent.biometrics.face.session import FaceVerifier
    from agent.issuing.issue import face_template
    from agent.settings.model import FaceConfig

    verifier = FaceVerifier.from_config(FaceConfig())
    templates = {}
    for name, picture in pictures.items():
        sample = take_sample(picture, verifier.detector, verifier.embedder)
        data = verifier.embedder.template(sample.vector)
        templates[name] = face_template(data, verifier.model_id)
    return templates


def _enrol_finger(name: str) -> BiometricReference:
    """Return a template of an invented finger, enrolled at a module of the gates' family."""
    from agent.biometrics.finger.enroll import take_model
    from agent.issuing.issue import finger_template
    from hal.fingerprint import PROBE
    from hal.raspberrypi.fingerprint import AdafruitSensor
    from hal.simulated.fingerprint import SimulatedFingerprint
    from hal.simulated.fingerprint_script import Script, Touch

    script = Script(variant=FINGER_FAMILY, touch=(Touch(name), Touch(name)))
    with SimulatedFingerprint(script, pace=False) as module:
        sensor = AdafruitSensor(module.open_pty())
        try:
            take_model(sensor, lambda _line: None, timeout_s=5.0)
            return finger_template(sensor.upload(PROBE), FINGER_FAMILY)
        finally:
            sensor.close()


def _scaled(picture: Rgb, height: int) -> Rgb:
    import cv2

    width = round(picture.shape[1] * height / picture.shape[0])
    kind = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=kind), dtype=np.uint8)


def _living(picture: Rgb) -> Figure:
    """Return the person: head and shoulders with a soft outline."""
    import cv2

    body = _scaled(picture, 560)
    height, width = body.shape[:2]
    across = np.linspace(-1, 1, width)[None, :] / 0.88
    down = np.linspace(-1, 1, height)[:, None] / 0.92
    inside = np.asarray(across**2 + down**2 <= 1, dtype=np.float32)
    mask = np.asarray(cv2.GaussianBlur(inside, (0, 0), 14), dtype=np.float32)
    return Figure(body, mask[..., None], 1280 - width - 20, 90)


def _photo(picture: Rgb) -> Figure:
    """Return a phone that shows the picture: a black bezel, straight edges, a brighter screen."""
    import cv2

    shown = cv2.convertScaleAbs(_scaled(picture, 400), alpha=1.1, beta=10)
    framed = cv2.copyMakeBorder(shown, 26, 26, 14, 14, cv2.BORDER_CONSTANT, value=(8, 8, 10))
    framed = cv2.copyMakeBorder(framed, 8, 8, 8, 8, cv2.BORDER_REPLICATE)
    mask = np.zeros((*framed.shape[:2], 1), dtype=np.float32)
    mask[8:-8, 8:-8] = 1
    return Figure(
        np.asarray(framed, dtype=np.uint8), mask, 1280 - framed.shape[1] - 60, 130, flat=True
    )
