"""What a face check leaves in memory, searched for in a process that has just made one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agent.biometrics.face.reference import embed_photo
from tests.support.paths import ROOT


def writable(pid: int) -> list[bytes]:
    """Return the writable memory of a child."""
    found = []
    with (
        Path(f"/proc/{pid}/maps").open() as maps,
        Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory,
    ):
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match:
                start, end = (int(word, 16) for word in match.groups())
                memory.seek(start)
                found.append(memory.read(end - start))
    return found


@pytest.fixture
def frame(scene, astronaut):
    return scene(astronaut)


@pytest.fixture
def seen(frame, detector, embedder) -> dict[str, bytes]:
    """What the check in the child sees of the person: the same picture, the same arithmetic."""
    face = detector.detect(frame)[0]
    chip = embedder.align(frame, face.points)
    first, second = embedder.embed(chip), embedder.embed(chip, mirrored=True)
    middle = chip.shape[0] // 2

    def answer(vector):
        return np.frombuffer(embedder.template(vector), dtype=np.int8)[16:48]

    row, column = int(face.box.y + face.box.height / 2), int(face.box.x)
    return {
        "the picture": frame[row, column : column + 40].tobytes(),
        "the chip": chip[middle, 20:60].tobytes(),
        "the chip's mirror image": chip[middle, ::-1][20:60].tobytes(),
        "the vector": first[16:48].tobytes(),
        "the mirrored vector": second[16:48].tobytes(),
        "the network's answer": answer(first).tobytes(),
        "the network's answer to the mirror image": answer(second).tobytes(),
        "the answer in floats": answer(first).astype(np.float32).tobytes(),
        "the mirrored answer in floats": answer(second).astype(np.float32).tobytes(),
    }


def left(child_words: list[str], seen: dict[str, bytes]) -> set[str]:
    """Return what of the person is in the memory of a child that has made its check."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.agent.biometrics.face.memory_child", *child_words],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline().strip() == "granted"
        try:
            memory = writable(child.pid)
        except PermissionError:
            pytest.skip("nobody may read a child's memory here (kernel.yama.ptrace_scope)")
        finally:
            child.stdin.close()
    return {name for name, needle in seen.items() if any(needle in part for part in memory)}


def test_nothing_that_the_check_saw_is_left(tmp_path, frame, seen, detector, embedder, astronaut):
    np.save(tmp_path / "picture.npy", frame)
    template = embedder.template(embed_photo(astronaut, detector, embedder))
    (tmp_path / "template").write_bytes(template)
    words = [str(tmp_path / "picture.npy"), str(tmp_path / "template")]
    assert left(words, seen) == set()
    # The same search, where nothing is overwritten at the end: it does find what is there.
    assert left([*words, "keep"], seen) >= {"the picture", "the vector"}
