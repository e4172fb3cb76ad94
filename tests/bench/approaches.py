"""Approaches: a phone comes up to a camera, frame by frame, with what troubles a gate's pictures.

    for approach in approaches(seed=1):
        for frame in approach.frames:
            decode(frame.luma) == approach.text

Rules:
- A phone comes from 600 mm to 150-220 mm, then is held; the camera sees 66 degrees; 10 to 30 frames
  a second. Only frames from 1.5 pixels a module on are given: none is read before.
- Codes are real: presentations and credentials of `agent.issuing.issue`, version 10 to 20, error
  correction L or M, 50 to 62 mm wide.
- 16 kinds of trouble, `KINDS`. What is drawn depends on (seed, kind, number) alone: another seed is
  another set, and one tunes on one and reports another. Exposure is not part of the draw, so that
  schedules are compared on the same approaches.
- Exposure values alternate frame by frame, as `camera.exposure_values` has it.
- How bad each trouble is was set so that zxing-cpp alone fails as often as it was measured to
  elsewhere, not so that anything of ours passes.
"""

from __future__ import annotations

import functools
import hashlib
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from numpy.typing import NDArray

from agent.credential.issuers import Algorithm
from agent.issuing.issue import Medium, face_template, present, qr_symbol, sign_credential
from agent.issuing.keys import Holder, Issuer, SigningKey
from tests.bench.optics import Camera, Crack, Glare, Hall, Page, Pose, Shutter
from tests.support import makers

__all__ = ["EXPOSURE", "KINDS", "Approach", "Frame", "approaches"]

Luma = NDArray[np.uint8]
Chance = np.random.Generator

EXPOSURE: Final = (0.0, -2.0)
SIZE: Final = (1280, 720)
FAR_MM: Final = 600.0
LEAST_PX: Final = 1.5
VERSIONS: Final = (10, 20)
LEAST_M: Final = 12
"""Below it a credential fits at error correction L only."""
BORN: Final = "1990-01-31"
_HOLDS = {
    "l": (395, 468, 535, 619, 667, 758, 854, 938, 1046, 1153, 1249),
    "m": (311, 366, 419, 483, 528, 600, 656, 734, 816, 909, 970),
}
"""Characters of versions 10 to 20, alphanumeric: ISO/IEC 18004, table 7."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of an approach.

    Attributes:
        luma: (H, W) uint8.
        px_per_module: as the code's distance has it, held straight.
        distance_mm: from the lens to the code's centre.
        ev: exposure value.
        at_s: since the first frame.
    """

    luma: Luma
    px_per_module: float
    distance_mm: float
    ev: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that an approach is drawn from; a trouble changes some of it.

    Lengths are millimetres, angles degrees, light in halls (see `optics`).
    """

    text: str
    version: int
    level: str
    code_mm: float
    fps: float
    end_mm: float
    come_s: float
    hold_s: float
    start: tuple[float, float]
    end: tuple[float, float]
    tilt: tuple[float, float, float]
    turn: float
    tremor: tuple[float, float]
    white: float
    black: float
    shutter: Shutter
    full_well: float
    sharp_px: float
    quiet: float = 4.0
    inverted: bool = False
    crack: Crack | None = None
    glare: Glare | None = None
    finger: tuple[float, float, float, float, float] | None = None
    moire: tuple[float, float] = (0.0, 4.0)
    defocus_mm: float = 0.0
    halo: float = 1.0


def _fast(look: Look, chance: Chance) -> Look:
    start = (float(chance.choice([-1, 1]) * chance.uniform(90, 150)), float(chance.uniform(30, 80)))
    tremor = (chance.uniform(5, 10), chance.uniform(1.2, 2.4))  # the hand swings after it has come
    return replace(look, come_s=chance.uniform(0.6, 0.9), start=start, tremor=tremor)


def _tremor(look: Look, chance: Chance) -> Look:
    return replace(look, tremor=(chance.uniform(0.8, 2.2), chance.uniform(4, 7)))


def _tilt(look: Look, chance: Chance) -> Look:
    lean = chance.uniform(18, 30)
    way = chance.uniform(0, 2 * math.pi)
    return replace(
        look, tilt=(lean * math.cos(way), lean * math.sin(way), float(chance.uniform(-30, 30)))
    )


def _over(look: Look, chance: Chance) -> Look:
    return replace(look, white=chance.uniform(22, 42), halo=chance.uniform(1.2, 2.0))


def _glare(look: Look, chance: Chance) -> Look:
    at = (float(chance.uniform(-15, 15)), float(chance.uniform(-15, 15)))
    size = (float(chance.uniform(18, 45)), float(chance.uniform(4, 9)))
    glare = Glare(float(chance.uniform(3, 18)), at, size, float(chance.uniform(-60, 60)))
    return replace(look, glare=glare)


def _pwm(look: Look, chance: Chance) -> Look:
    shutter = replace(
        look.shutter, pwm_hz=chance.uniform(180, 480), pwm_duty=chance.uniform(0.25, 0.6)
    )
    return replace(look, shutter=shutter, white=look.white * 0.6)


def _moire(look: Look, chance: Chance) -> Look:
    return replace(look, moire=(chance.uniform(0.15, 0.4), chance.uniform(2.5, 7)))


def _dim(look: Look, chance: Chance) -> Look:
    return replace(
        look, white=chance.uniform(0.4, 1.05), black=chance.uniform(0.2, 0.4),
        full_well=look.full_well * chance.uniform(0.1, 0.25),
    )  # fmt: skip


def _dark(look: Look, chance: Chance) -> Look:
    return replace(look, inverted=True)


def _cracked(look: Look, chance: Chance) -> Look:
    at = (float(chance.uniform(-28, 28)), float(chance.uniform(-28, 28)))
    crack = Crack(
        at, int(chance.integers(3, 8)), chance.uniform(0.08, 0.25), chance.uniform(0.5, 2.0)
    )
    return replace(look, crack=crack)


def _finger(look: Look, chance: Chance) -> Look:
    half = look.code_mm / 2
    over = chance.uniform(2.0, 6.0)
    finger = (half + 9 - over * 0.6, half + 13 - over, 9.0, 14.0, float(chance.uniform(-35, -15)))
    return replace(look, finger=finger)


def _defocus(look: Look, chance: Chance) -> Look:
    return replace(
        look, defocus_mm=chance.uniform(0.75, 1.5) * look.code_mm / (17 + 4 * look.version)
    )


def _rolling(look: Look, chance: Chance) -> Look:
    shutter = replace(
        look.shutter, readout_s=chance.uniform(0.028, 0.045),
        wobble=(chance.uniform(0.2, 0.6), chance.uniform(20, 60)),
    )  # fmt: skip
    return replace(look, shutter=shutter, tremor=(chance.uniform(0.8, 1.6), chance.uniform(5, 8)))


def _small(look: Look, chance: Chance) -> Look:
    return replace(  # held nearer, as people do
        look, code_mm=chance.uniform(42, 50), quiet=float(chance.choice([1, 1.5, 2])),
        end_mm=min(look.end_mm, 180.0),
    )  # fmt: skip


_TROUBLES: Final[dict[str, Callable[[Look, Chance], Look]]] = {
    "fast": _fast, "tremor": _tremor, "tilt": _tilt, "over-exposed": _over, "glare": _glare,
    "pwm": _pwm, "moire": _moire, "dim": _dim, "dark mode": _dark, "cracked": _cracked,
    "finger": _finger, "defocus": _defocus, "rolling shutter": _rolling, "small": _small,
}  # fmt: skip
KINDS: Final = ("plain", *_TROUBLES, "combined")


@dataclass(frozen=True, slots=True)
class Approach:
    """One phone that comes.

    Attributes:
        name: unique in its set.
        kind: one of `KINDS`.
        text: of the code.
        fps: frames a second.
        look: what it was drawn from.
    """

    name: str
    kind: str
    text: str
    fps: float
    look: Look = field(repr=False)
    size: tuple[int, int] = field(repr=False)
    exposure: tuple[float, ...] = field(repr=False)
    key: tuple[int, ...] = field(repr=False)
    cache: Path | None = field(repr=False, default=None)

    @property
    def frames(self) -> Iterator[Frame]:
        """The frames, rendered as they are asked for; every iterator gives the same."""
        path, z_of = self._path()
        camera = self._camera()
        chance = np.random.default_rng((*self.key, 1))
        first, phase = float(chance.uniform(0, 1 / self.fps)), int(chance.integers(0, 64))
        total = int((self.look.come_s + self.look.hold_s) * self.fps)
        times = [first + number / self.fps for number in range(total)]
        seen = [t for t in times if camera.px_per_module(z_of(t)) >= LEAST_PX]
        stored = self._stored(len(seen))
        fresh: list[Luma] = []
        hall = None if stored is not None else self._hall()
        for number, when in enumerate(seen):
            ev = self.exposure[(phase + number) % len(self.exposure)]
            if stored is not None:
                luma = stored[number]
            else:
                assert hall is not None
                noise = np.random.default_rng((*self.key, 2, number))
                luma = camera.expose(hall.at(when), path, when, ev, noise)
                if self.cache is not None:
                    fresh.append(luma)
            z = z_of(when)
            yield Frame(luma, camera.px_per_module(z), z, ev, when - seen[0])
        if fresh:
            self._store(np.stack(fresh))

    def _hall(self) -> Hall:
        return Hall(zlib.crc32(repr(self.key).encode()), self.size)

    def _camera(self) -> Camera:
        look = self.look
        page = Page(
            _modules(look.text, look.level), look.code_mm, look.quiet, look.white, look.black,
            look.inverted, look.crack, self.key[-1],
        )  # fmt: skip
        return Camera(
            page, self.size, shutter=look.shutter, sharp_px=look.sharp_px,
            defocus_mm=look.defocus_mm, halo=look.halo, full_well=look.full_well, moire=look.moire,
            glare=look.glare, finger=look.finger,
        )  # fmt: skip

    def _path(self) -> tuple[Callable[[float], Pose], Callable[[float], float]]:
        look = self.look
        chance = np.random.default_rng((*self.key, 3))
        phases = chance.uniform(0, 2 * math.pi, (5, 2))
        rates = look.tremor[1] * chance.uniform(0.8, 1.25, (5, 2))
        sway = chance.uniform(-1, 1, 5)

        def shake(axis: int, when: float) -> float:
            one, two = np.sin(2 * math.pi * rates[axis] * when + phases[axis]) * (0.7, 0.5)
            drift = math.sin(2 * math.pi * 0.5 * when + phases[axis, 0])
            return float(look.tremor[0] * (one + two) + 2.0 * sway[axis] * drift)

        def come(when: float) -> float:
            part = min(1.0, max(0.0, when / look.come_s))
            return part**3 * (10 - 15 * part + 6 * part**2)  # least jerk, as hands move

        def z_of(when: float) -> float:
            return FAR_MM + (look.end_mm - FAR_MM) * come(when)

        def path(when: float) -> Pose:
            part = come(when)
            x, y = (a + (b - a) * part for a, b in zip(look.start, look.end, strict=True))
            rest = 1 - part
            yaw, pitch, roll = look.tilt
            return Pose(
                x + shake(0, when), y + shake(1, when), z_of(when) + shake(2, when),
                yaw + 0.25 * shake(3, when), pitch + look.turn * rest + 0.25 * shake(4, when),
                roll + 0.6 * look.turn * rest,
            )  # fmt: skip

        return path, z_of

    def _file(self) -> Path | None:
        if self.cache is None:
            return None
        about = repr((self.look, self.size, self.exposure, self.key))
        return self.cache / f"{hashlib.sha256(about.encode()).hexdigest()[:24]}.npy"

    def _stored(self, count: int) -> Luma | None:
        file = self._file()
        if file is None or not file.exists():
            return None
        stored: Luma = np.load(file, mmap_mode="r")
        return stored if len(stored) == count else None

    def _store(self, frames: Luma) -> None:
        file = self._file()
        assert file is not None
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npy")
        np.save(part, frames)
        part.replace(file)


def approaches(
    *,
    seed: int = 1,
    classes: Sequence[str] = KINDS,
    each: int = 13,
    exposure: Sequence[float] = EXPOSURE,
    size: tuple[int, int] = SIZE,
    fps: float | None = None,
    cache: Path | None = None,
) -> Iterator[Approach]:
    """Draw a set of approaches.

    Args:
        seed: sets of different seeds share nothing.
        classes: of `KINDS`.
        each: how many of a kind.
        exposure: exposure values, in turn from frame to frame.
        size: (width, height) pixels of a frame.
        fps: frames a second, in place of what is drawn, 10 to 30.
        cache: a folder in which rendered frames are kept, 25 MB an approach; it grows with whatever
            is changed, and holds frames of this renderer only: empty it after a change of `optics`.

    Raises:
        ValueError: a kind that is not in `KINDS`.
    """
    for kind in classes:
        if kind not in KINDS:
            raise ValueError(f"{kind}: not one of {', '.join(KINDS)}")
        for number in range(each):
            key = (seed, zlib.crc32(kind.encode()), number)
            look = _drawn(kind, key)
            if fps is not None:
                look = replace(look, fps=fps)
            yield Approach(
                f"{kind} {seed}.{number}", kind, look.text, look.fps, look, size, tuple(exposure), key,
                cache,
            )  # fmt: skip


def _drawn(kind: str, key: tuple[int, ...]) -> Look:
    chance = np.random.default_rng((*key, 0))
    look = _usual(chance, key)
    if kind == "combined":
        names = [str(name) for name in chance.choice(list(_TROUBLES), 3, replace=False)]
    else:
        names = [kind] if kind in _TROUBLES else []
    for name in names:
        look = _TROUBLES[name](look, chance)
    return look


def _usual(chance: Chance, key: tuple[int, ...]) -> Look:
    """Return a steady hand with a good phone in a lit hall."""
    version = int(chance.integers(VERSIONS[0], VERSIONS[1] + 1))
    level = str(chance.choice(["l", "m"])) if version >= LEAST_M else "l"
    text = _text(version, level, key)
    end_mm = float(chance.uniform(150, 220))
    side = end_mm / 200
    return Look(
        text=text, version=version, level=level,
        code_mm=chance.uniform(50, 62), fps=float(chance.choice([10, 12, 15, 15, 15, 15, 20, 30])),
        end_mm=end_mm, come_s=chance.uniform(1.3, 2.1), hold_s=chance.uniform(0.4, 0.8),
        start=(float(chance.uniform(-70, 70)), float(chance.uniform(-10, 70))),
        end=(float(chance.uniform(-28, 28) * side), float(chance.uniform(-10, 10) * side)),
        tilt=(float(chance.normal(0, 5)), float(chance.normal(0, 6)), float(chance.normal(0, 6))),
        turn=float(chance.uniform(5, 25)), tremor=(chance.uniform(0.15, 0.4), chance.uniform(6, 9)),
        white=chance.uniform(8, 17), black=chance.uniform(0.06, 0.3),
        shutter=Shutter(chance.uniform(0.010, 0.022), chance.uniform(0.012, 0.022)),
        full_well=chance.uniform(2_500, 7_000), sharp_px=chance.uniform(0.65, 0.95),
    )  # fmt: skip


class _Repeated(SigningKey):
    """A key whose signatures are the same in every run (RFC 6979), as the frames must be."""

    def _ecdsa(self, message: bytes, digest: hashes.HashAlgorithm, octets: int) -> bytes:
        private = _Steady(self.private)
        return SigningKey(self.algorithm, private)._ecdsa(message, digest, octets)


@dataclass(frozen=True, slots=True)
class _Steady:
    private: ec.EllipticCurvePrivateKey

    def sign(self, message: bytes, how: ec.ECDSA) -> bytes:
        return self.private.sign(message, ec.ECDSA(how.algorithm, deterministic_signing=True))


def _text(version: int, level: str, key: tuple[int, ...]) -> str:
    """Return a code's text that needs just that version: the largest contents below, and regions."""
    about = hashlib.sha256(repr(key).encode()).digest()
    issuer = Issuer("city", "urn:idgate:issuer:city", _Repeated(Algorithm.ES256, makers.ec_key(7)))
    holder = Holder(_Repeated(Algorithm.ES256, makers.ec_key(about[0])))
    holds = _HOLDS[level][version - VERSIONS[0]]
    face = [face_template(about * 4, "face-128")]
    best = ""
    for references, shown_by, born in (
        ((), None, None), ((), None, BORN), (face, None, BORN), ((), holder, BORN), (face, holder, BORN),
    ):  # fmt: skip
        for regions in range(41):
            text = present(
                sign_credential(
                    issuer, holder, subject=about[:4].hex(), issued_at=makers.NOW - 86_400,
                    valid_until=makers.NOW + 86_400, kind="library-card", birth_date=born,
                    cti=about[4:12], references=references,
                    regions=[f"CN-{a:02d}" for a in range(regions)],
                ),
                shown_by, at=makers.NOW, audience="library/north",
            )  # fmt: skip
            if len(text) > holds:
                break
            best = max(best, text, key=len)
    return best


@functools.lru_cache(maxsize=512)
def _modules(text: str, level: str) -> NDArray[np.uint8]:
    symbol = qr_symbol(text, medium=Medium.SCREEN if level == "l" else Medium.PAPER)
    return np.array([list(row) for row in symbol.matrix], np.uint8)
