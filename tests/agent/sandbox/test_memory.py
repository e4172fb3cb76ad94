"""Memory that two processes share and neither can fault the other by."""

from __future__ import annotations

import mmap
import os

import numpy as np
import pytest

from agent.sandbox.memory import SharedMemory


def test_nobody_else_can_write_or_resize_the_frame_memory():
    memory = SharedMemory(1 << 16)
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, 1)
        with pytest.raises(PermissionError):
            os.write(memory.fd, b"forged")
        with pytest.raises(PermissionError):
            mmap.mmap(memory.fd, 1 << 16)
        memory.put(np.full((10, 10), 7, dtype=np.uint8))
        view = mmap.mmap(memory.fd, 1 << 16, prot=mmap.PROT_READ)
        assert view[:101] == b"\7" * 100 + b"\0"
        view.close()
        with pytest.raises(ValueError, match="fit"):
            memory.put(np.zeros((1000, 1000), dtype=np.uint8))
    finally:
        memory.close()
        memory.close()


def test_what_a_worker_may_write_is_copied_and_wiped():
    memory = SharedMemory(1 << 16, shared_write=True)
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, 1)
        worker = mmap.mmap(memory.fd, 1 << 16)
        worker[:12] = bytes(range(12))
        taken = memory.take((2, 2, 3))
        worker[:12] = bytes(12)
        assert taken.tobytes() == bytes(range(12)), "a copy"
        assert (taken.shape, taken.dtype) == ((2, 2, 3), np.uint8)
        worker[:13] = b"\7" * 13
        memory.wipe(12)
        assert worker[:13] == bytes(12) + b"\7"
        for shape in ((1 << 16, 2), (-1, 3)):
            with pytest.raises(ValueError, match="memory"):
                memory.take(shape)
        worker.close()
    finally:
        memory.close()
    memory.wipe(1)
    with pytest.raises(ValueError, match="memory"):
        memory.take((1,))
