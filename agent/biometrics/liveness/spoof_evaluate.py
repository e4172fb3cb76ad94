"""Error rates of the liveness layer over clips, in the words of ISO/IEC 30107-3.

A clip is one presentation: a folder of frames or a video. Folders above it are species; `bona-fide`
holds people. As at a gate, the layer has decided when it is clear for the first time with as many
frames as a face decision takes, or when it suspects; a clip that ends before is no response.

- APCER of a species: attack presentations that were let through. The highest one counts.
- BPCER: bona fide presentations that were suspected.
- APNRR, BPNRR: presentations without a decision at the clip's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected
from agent.biometrics.liveness.passive import PassiveLiveness
from agent.biometrics.liveness.spoof_render import BONA_FIDE
from agent.biometrics.liveness.types import Cue, State
from agent.biometrics.picture import open_picture
from agent.biometrics.types import FaceDetector

__all__ = ["ClipResult", "SpeciesCounts", "evaluate_folder", "judge_clip"]

DECISION_FRAMES = 3
FRAMES = (".jpg", ".jpeg", ".png", ".webp")
VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".webm")

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ClipResult:
    """What one presentation came to: the state that decided, when, and why."""

    state: State
    seconds: float
    cues: tuple[Cue, ...] = ()


@dataclass(slots=True)
class SpeciesCounts:
    """Counts of one species."""

    clips: int = 0
    passed: int = 0
    suspected: int = 0
    undecided: int = 0
    cues: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, result: ClipResult) -> None:
        """Count one presentation."""
        self.clips += 1
        self.passed += result.state is State.CLEAR
        self.suspected += result.state is State.SUSPECTED
        self.undecided += result.state is State.WAITING
        for cue in result.cues:
            self.cues[cue] = self.cues.get(cue, 0) + 1
        if result.state is not State.WAITING:
            self.seconds.append(result.seconds)


def judge_clip(frames: Iterable[Rgb], detector: FaceDetector, fps: float) -> ClipResult:
    """Show one clip to a fresh layer.

    Args:
        frames: (H, W, 3) uint8 RGB each.
        detector: finds the face.
        fps: frames a second.
    """
    layer, seen, now = PassiveLiveness(), 0, 0.0
    for number, frame in enumerate(frames):
        now = number / fps
        faces = detector.detect(frame)
        if not faces:
            continue
        seen += 1
        verdict = layer.observe(frame, faces[0], now)
        decided = verdict.state is State.CLEAR and seen >= DECISION_FRAMES
        if decided or verdict.state is State.SUSPECTED:
            return ClipResult(verdict.state, now, verdict.cues)
    return ClipResult(State.WAITING, now)


def evaluate_folder(
    clips: Path,
    detector: FaceDetector,
    *,
    fps: float,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Return error rates by species of a folder `SPECIES/CLIP`.

    Args:
        clips: the folder.
        detector: finds the face.
        fps: frames a second of clips that are folders of frames.
        progress: called with clips done and all.

    Raises:
        ValueError: there are no clips.
    """
    found = [
        (species.name, clip)
        for species in sorted(clips.iterdir())
        if species.is_dir()
        for clip in sorted(species.iterdir())
        if clip.is_dir() or clip.suffix.lower() in VIDEOS
    ]
    if not found:
        raise ValueError(f"{clips} has no folders SPECIES/CLIP")
    counted: dict[str, SpeciesCounts] = {}
    for done, (species, clip) in enumerate(found, 1):
        counted.setdefault(species, SpeciesCounts()).add(judge_clip(_frames(clip), detector, fps))
        if progress is not None:
            progress(done, len(found))
    return summarise(counted)


def summarise(counted: dict[str, SpeciesCounts]) -> dict[str, Any]:
    """Return the rates of 30107-3 with the counts that they rest on."""
    species: dict[str, dict[str, Any]] = {}
    for name, counts in counted.items():
        rate = "bpcer" if name == BONA_FIDE else "apcer"
        wrong = counts.suspected if name == BONA_FIDE else counts.passed
        species[name] = {
            "clips": counts.clips,
            rate: wrong / max(counts.clips, 1),
            "no_response": counts.undecided / max(counts.clips, 1),
            "median_s": float(np.median(counts.seconds)) if counts.seconds else None,
            "cues": dict(sorted(counts.cues.items())),
        }
    attacks = [row["apcer"] for name, row in species.items() if name != BONA_FIDE]
    return {
        "species": species,
        "apcer_highest": max(attacks) if attacks else None,
        "bpcer": species.get(BONA_FIDE, {}).get("bpcer"),
    }


def _frames(clip: Path) -> Iterator[Rgb]:
    """Yield the frames of a folder or a video; a frame that cannot be read is skipped."""
    if clip.is_dir():
        for path in sorted(p for p in clip.iterdir() if p.suffix.lower() in FRAMES):
            try:
                yield open_picture(path.read_bytes())
            except FaceRejected:
                continue
        return
    import cv2

    video = cv2.VideoCapture(str(clip))
    try:
        while True:
            there, frame = video.read()
            if not there:
                return
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    finally:
        video.release()
