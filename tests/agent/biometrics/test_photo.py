"""Photos in the sandbox: whatever their bytes, little memory, little time, one reason, no pause."""

from __future__ import annotations

import gc
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.biometrics.errors import FaceRejected
from agent.biometrics.photo import DEADLINE_S, PhotoDecoder, PhotoError
from agent.biometrics.photo_wire import Photo, Refusal, pack_answer
from agent.biometrics.picture_header import CAMERA_LIMITS, CREDENTIAL_LIMITS, sniff
from agent.reason import Reason
from agent.sandbox.supervisor import Incident, IncidentKind
from tests.support.paths import VECTORS
from tests.support.pictures import KINDS, UNCHECKED, avif, encode, jpeg2000, png

MEMORY = 64 << 20
SLACK_S = 1.5  # the machine may be busy; a decoder that is not ended is what this finds


@pytest.fixture
def incidents() -> list[Incident]:
    return []


@pytest.fixture
def decoder(incidents: list[Incident]) -> Iterator[PhotoDecoder]:
    decoder = PhotoDecoder(incidents.append)
    decoder.start()
    decoder.wait_ready()
    yield decoder
    decoder.close()


@pytest.fixture
def unchecked(decoder: PhotoDecoder, monkeypatch) -> PhotoDecoder:
    """The sandbox alone: no header is looked at before."""
    monkeypatch.setattr("agent.biometrics.photo.check_header", lambda data, _limits: sniff(data))
    return decoder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [32, 48, 64, 128])
def test_photos_of_each_format_are_read(photos, astronaut, encoded, kind, side):
    import cv2

    small = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_AREA)
    picture = photos.decode(encoded(small, kind, **KINDS[kind]))
    assert (picture.shape, picture.dtype) == ((side, side, 3), np.uint8)
    assert picture.flags.writeable, "it can be overwritten after use"
    assert picture.flags.owndata, "no worker can change it"
    assert np.abs(picture.astype(int) - small).mean() < 28


def test_the_pixels_are_what_pillow_makes_of_them_in_process(photos, astronaut, encoded):
    from agent.biometrics.picture import open_picture

    for kind, how in KINDS.items():
        data = encoded(astronaut[::3, ::2], kind, **how)
        assert (photos.decode(data) == open_picture(data)).all()


def test_an_aadhaar_letters_photo_is_read(photos):
    """By UIDAI's own encoder, which repeats the coding style in the tile's header."""
    vectors = VECTORS / "aadhaar/dataInput.json"
    number = int(json.loads(vectors.read_text())["testQRData"])
    letter = zlib.decompress(number.to_bytes((number.bit_length() + 7) // 8, "big"), 47)
    start, end = letter.index(b"\xff\x4f\xff\x51"), letter.rindex(b"\xff\xd9") + 2
    assert photos.decode(letter[start:end]).shape == (60, 60, 3)


@pytest.mark.parametrize(
    ("mode", "kind", "how"),
    [
        ("L", "PNG", {}), ("LA", "PNG", {}), ("P", "PNG", {}), ("I;16", "PNG", {}), ("1", "PNG", {}),
        ("CMYK", "JPEG", {}), ("L", "JPEG", {}), ("RGBA", "WEBP", {"lossless": True}),
        ("RGBA", "AVIF", {}), ("RGBA", "JPEG2000", {}), ("L", "JPEG2000", {"no_jp2": True}),
    ],
)  # fmt: skip
def test_odd_pixels_become_rgb(photos, mode, kind, how):
    out = io.BytesIO()
    Image.new(mode, (40, 30)).save(out, kind, **how)
    assert photos.decode(out.getvalue()).shape == (30, 40, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_turned_photos_become_upright_in_a_worker_that_can_load_nothing(photos, kind):
    turned = Image.new("RGB", (40, 30), (1, 2, 3))
    exif = turned.getexif()
    exif[0x0112] = 6
    out = io.BytesIO()
    turned.save(out, kind, exif=exif, lossless=True)
    assert photos.decode(out.getvalue()).shape == (40, 30, 3)


def test_the_largest_photo_of_each_format_fits_the_workers_memory(photos):
    rng = np.random.default_rng(0)
    blur = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).resize((1024, 1024))
    for kind in KINDS:
        out = io.BytesIO()
        if kind == "JPEG2000":
            blur.save(out, kind, quality_mode="rates", quality_layers=[200])
        else:
            (blur.quantize(16) if kind == "PNG" else blur).save(out, kind, quality=5)
        assert photos.decode(out.getvalue()).shape == (1024, 1024, 3), kind


def test_a_cameras_picture_is_larger_and_only_for_who_enrols(photos, incidents):
    noise = np.random.default_rng(0).integers(0, 255, (576, 1024, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", quality=60)
    data = out.getvalue()
    assert CREDENTIAL_LIMITS.file_bytes < len(data) <= CAMERA_LIMITS.file_bytes
    with pytest.raises(FaceRejected):
        photos.decode(data)
    enrolling = PhotoDecoder(incidents.append, CAMERA_LIMITS)
    try:
        enrolling.start()
        enrolling.wait_ready()
        assert enrolling.decode(data).shape == (576, 1024, 3)
        with pytest.raises(FaceRejected):
            enrolling.decode(data + bytes(CAMERA_LIMITS.file_bytes))
    finally:
        enrolling.close()
    assert incidents == []


# --- hostile ones


def read(decoder: PhotoDecoder, data: bytes) -> np.ndarray | None:
    """Decode; None where the photo was refused, for the one reason there is."""
    try:
        picture = decoder.decode(data)
    except FaceRejected as refused:
        if refused.reason is Reason.REFERENCE_INVALID:
            return None
        raise
    assert max(picture.shape) <= CREDENTIAL_LIMITS.side_px
    return picture


def high_water(pid: int) -> int:
    """Return the most memory that a process was resident with, bytes; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.split("VmHWM:")[1].split()[0]) << 10 if "VmHWM:" in status else 0


class Watch(threading.Thread):
    """Notes the most memory of a process until told to stop, and the longest gap between two looks."""

    def __init__(self, pid: int = 0) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._pid = pid
        self.memory = 0
        self.gap_s = 0.0

    def run(self) -> None:
        before = time.monotonic()
        while not self._over.wait(0.002):
            if self._pid:
                self.memory = max(self.memory, high_water(self._pid))
            now = time.monotonic()
            self.gap_s = max(self.gap_s, now - before)
            before = now

    def stop(self) -> None:
        self._over.set()
        self.join()


def own_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize("name", UNCHECKED)
def test_a_bomb_whose_header_nobody_checked_harms_nothing(unchecked, name):
    unchecked._supervisor.wait(10)
    pid = unchecked.worker_pid
    before, ours = high_water(pid), own_memory()
    watch = Watch(pid)
    watch.start()
    started = time.monotonic()
    read(unchecked, UNCHECKED[name])
    took = time.monotonic() - started
    watch.stop()
    assert took < DEADLINE_S + SLACK_S
    assert max(watch.memory - before, 0) + max(own_memory() - ours, 0) < MEMORY
    assert unchecked.decode(encode("JPEG", 64, 64)).shape == (64, 64, 3), "the next one is read"


SLOW = jpeg2000(1024, 1024, components=4, precincts=b"\x11" * 6)
"""Millions of precincts: 4 s and 2.3 GiB in a process without bounds."""


def test_the_slowest_photo_is_over_in_a_second_and_is_an_incident(unchecked, incidents):
    started = time.monotonic()
    with pytest.raises(FaceRejected) as refused:
        unchecked.decode(SLOW)
    assert refused.value.reason is Reason.REFERENCE_INVALID
    assert time.monotonic() - started < DEADLINE_S + SLACK_S
    assert all(i.kind in (IncidentKind.HANG, IncidentKind.CRASH) for i in incidents)


def longest_gap(work) -> float:
    """Return the longest time that a ticking thread was kept waiting while the work ran, seconds."""
    gc.collect()
    watch = Watch()
    watch.start()
    work()
    watch.stop()
    return watch.gap_s


HOSTILE = [SLOW, avif(2048, says=512), *(UNCHECKED[name] for name in (
    "jpeg 2000 of a million tiles", "jpeg 2000 of tiny code-blocks", "jpeg of 3,000 scans",
    "png with texts that unpack to 12 MiB", "jpeg 2000 with a tile's own style"))]  # fmt: skip


def test_no_other_thread_is_paused_while_hostile_photos_are_decoded(unchecked):
    """The same wall time without photos says what the machine's other work costs.

    In process the same photos kept a thread waiting for seconds; the exact figures of a quiet
    machine are those of tests/bench/bench_photo.py.
    """

    def show() -> None:
        for data in HOSTILE:
            read(unchecked, data)

    gaps = []
    for _ in range(4):  # a busy machine may spoil one
        started = time.monotonic()
        with_photos = longest_gap(show)
        took = time.monotonic() - started
        without = longest_gap(lambda took=took: time.sleep(took))
        gaps.append((with_photos, without))
        if with_photos < 0.02 + without:
            return
    raise AssertionError(gaps)


# --- damaged ones, in each format, through the real worker


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_photos_are_refused(photos, astronaut, encoded, kind, part):
    data = encoded(astronaut, kind, **KINDS[kind])
    with pytest.raises(FaceRejected) as refused:
        photos.decode(data[: int(len(data) * part)])
    assert refused.value.reason is Reason.REFERENCE_INVALID


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 2**32 - 1),
    flips=st.integers(1, 30),
    cut=st.floats(0.3, 1.0),
)
def test_damaged_photos_are_read_or_refused_and_nothing_else(
    unchecked, astronaut, encoded, kind, seed, flips, cut
):
    data = bytearray(encoded(astronaut[::4, ::4], kind, **KINDS[kind]))
    rng = np.random.default_rng(seed)
    for place in rng.integers(4, len(data), flips):
        data[place] = int(rng.integers(0, 256))
    lying = bytes(data[: max(int(len(data) * cut), 40)])
    started = time.monotonic()
    read(unchecked, lying)
    assert time.monotonic() - started < DEADLINE_S + SLACK_S


# --- the worker's own life


def strike(pid: int, number: signal.Signals) -> None:
    assert pid > 1, "0 would mean this whole process group"
    os.kill(pid, number)


def test_each_photo_has_a_worker_of_its_own(decoder, incidents):
    workers = set()
    for _ in range(3):
        decoder._supervisor.wait(10)
        workers.add(decoder.worker_pid)
        decoder.decode(encode("PNG", 8, 8))
    for _ in range(2):
        decoder._supervisor.wait(10)
        workers.add(decoder.worker_pid)
        with pytest.raises(FaceRejected, match="PNG cannot be decoded"):
            decoder.decode(png(8, 8, b"no zlib"))
    assert len(workers) == 5
    assert incidents == [], "it was no fault of theirs"


def test_nothing_of_a_photo_stays_in_the_shared_memory(decoder):
    data = encode("PNG", 64, 64)
    decoder.decode(data)
    assert not decoder._files.take((len(data),)).any()
    assert not decoder._pixels.take((64, 64, 3)).any()


def test_a_worker_that_was_killed_between_photos_costs_no_photo(decoder, incidents):
    decoder._supervisor.wait(10)
    dead = os.pidfd_open(decoder.worker_pid)
    signal.pidfd_send_signal(dead, signal.SIGKILL)
    poller = select.poll()
    poller.register(dead, select.POLLIN)
    assert poller.poll(5_000)
    os.close(dead)
    assert decoder.decode(encode("PNG", 8, 8)).shape == (8, 8, 3)
    assert [(i.kind, i.total) for i in incidents] == [(IncidentKind.CRASH, 1)]
    assert decoder.incidents == {IncidentKind.CRASH: 1}


def test_a_worker_that_hangs_is_ended_and_the_next_photo_is_read(decoder, incidents):
    decoder._supervisor.wait(10)
    strike(decoder.worker_pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(FaceRejected, match="hang"):
        decoder.decode(encode("PNG", 8, 8))
    assert DEADLINE_S <= time.monotonic() - started < DEADLINE_S + SLACK_S
    assert [i.kind for i in incidents] == [IncidentKind.HANG]
    assert decoder.decode(encode("PNG", 8, 8)).shape == (8, 8, 3)


def test_a_lost_stem_is_an_incident_and_started_anew(decoder, incidents):
    strike(decoder.stem_pid, signal.SIGKILL)
    picture, until = None, time.monotonic() + 30
    while picture is None and time.monotonic() < until:
        picture = read(decoder, encode("PNG", 8, 8))
    assert picture is not None
    assert IncidentKind.LOST in {i.kind for i in incidents}


LIES = {
    "a picture larger than allowed": pack_answer(Photo(1025, 8)),
    "a picture of no height": pack_answer(Photo(0, 8)),
    "a picture and a word": pack_answer(Photo(8, 8)) + b"x",
    "a word with a newline": pack_answer(Refusal("a\nb")),
    "a refusal without a word": pack_answer(Refusal("")),
    "a refusal with a size": b"\2\1\0\1\0word",
    "another kind": b"\3\0\0\0\0",
    "one byte": b"\1",
    "huge": b"\1" * 60_000,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lying_worker_is_an_incident(decoder, incidents, lie):
    decoder._supervisor.wait(10)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    decoder._supervisor.process._jobs.close()
    decoder._supervisor.process._jobs = ours
    theirs.send(lie)
    with theirs, pytest.raises(FaceRejected, match="garbage"):
        decoder.decode(encode("PNG", 8, 8))
    assert [i.kind for i in incidents] == [IncidentKind.GARBAGE]
    assert decoder.decode(encode("PNG", 8, 8)).shape == (8, 8, 3)


def test_a_worker_has_no_privileges_and_little_of_everything(decoder, monkeypatch):
    monkeypatch.setattr(decoder._supervisor, "renew", lambda: None)
    decoder.decode(encode("PNG", 8, 8))
    lines = Path(f"/proc/{decoder.worker_pid}/status").read_text().splitlines()
    facts = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert (facts["Name"], facts["NoNewPrivs"], facts["Seccomp"]) == ("idgate-photo", "1", "2")
    assert facts["Threads"] == "1"
    limits = Path(f"/proc/{decoder.worker_pid}/limits").read_text()
    rows = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()[1:]}
    assert rows["Max open files"] == rows["Max processes"] == rows["Max file size"] == ["0", "0"]
    assert rows["Max cpu time"] == ["1", "1"]
    mapped = int(facts["VmSize"].split()[0]) << 10
    assert int(rows["Max address space"][1]) - mapped < MEMORY


def test_after_the_end_photos_are_refused(decoder):
    decoder.close()
    decoder.close()
    with pytest.raises(FaceRejected, match="closed"):
        decoder.decode(encode("PNG", 8, 8))
    assert (decoder.stem_pid, decoder.worker_pid) == (0, 0)


def test_a_decoder_that_was_not_started_is_not_ready():
    decoder = PhotoDecoder(lambda _incident: None)
    with pytest.raises(PhotoError, match="does not start"):
        decoder.wait_ready(0.1)
    decoder.close()


def test_a_missing_decoder_is_said_at_start(monkeypatch, tmp_path):
    broken = tmp_path / "PIL"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libopenjp2.so.7: cannot open')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    decoder = PhotoDecoder(lambda _incident: None)
    decoder.start()
    try:
        with pytest.raises(PhotoError, match=r"libopenjp2.so.7"):
            decoder.wait_ready(30)
    finally:
        decoder.close()


def test_the_gate_itself_loads_no_decoder():
    code = (
        "import sys, agent.biometrics.photo; print([m for m in ('PIL', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
