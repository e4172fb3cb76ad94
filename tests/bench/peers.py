"""Other people's programs for the same work, measured in the same run, in a virtual environment of their own.

Rules:
- Nothing of a peer comes into the project's environment: each runs in `.venv-peers`, as `peer_worker`, and is
  asked over a pipe. That environment is made by `install` alone, which `./setup.sh bench --report DIR --peers` calls.
- The two sides take turns, the same input and the same picture, one thread each, CPU time of each own process.
- A peer that is not there is a row that says so and why, never a row that is missing.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.credential import registry
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import Credential
from tests.bench.stages import Absent, Peer
from tests.support import makers, paths

VENV = Path(sys.prefix).with_name(Path(sys.prefix).name + "-peers")
WORKER = Path(__file__).with_name("peer_worker.py")
PACKAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "claim169": (("claim169==0.3.0",),),
    # dlib-bin is dlib built: its own package compiles for a quarter of an hour.
    "face_recognition": (
        ("dlib-bin==20.0.1.post1", "numpy", "pillow", "click", "setuptools<81"),
        ("--no-deps", "face_recognition==1.3.0", "face_recognition_models==0.3.0"),
    ),
}
"""What each peer is installed from, in steps."""
VECTORS = paths.VECTORS / "claim169" / "test-vectors" / "valid"
SIGNED = {"ecdsa-p256-signed": Algorithm.ES256, "ed25519-signed": Algorithm.EDDSA}
VECTORS_NOW = 1_790_000_000
"""Within the validity of the vectors."""
ROUNDS = 30


def install(say: Callable[[str], None], venv: Path = VENV) -> None:
    """Make the peers' environment; what cannot be installed is told, and found missing later."""
    if not (venv / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    for peer, steps in PACKAGES.items():
        if missing(peer, venv) is None:
            continue
        say(f"installing the peer {peer} into {venv.name}")
        for step in steps:
            done = subprocess.run(
                [venv / "bin/pip", "install", "--quiet", *step],
                check=False, capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                say(f"{peer} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
                break


def missing(peer: str, venv: Path = VENV) -> str | None:
    """Return why a peer cannot be used, or None."""
    python = venv / "bin/python"
    if not python.exists():
        return "not installed (--peers installs it)"
    done = subprocess.run(
        [python, "-W", "ignore", "-c", f"import {peer}"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    return f"not installed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"


class Worker:
    """The process of the peers."""

    def __init__(self, venv: Path) -> None:
        self._process = subprocess.Popen(
            [venv / "bin/python", "-W", "ignore", WORKER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, **question: Any) -> Any:
        """Return the answer.

        Raises:
            RuntimeError: the worker ended, or answered with an error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the worker ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def worker(venv: Path = VENV) -> Iterator[Worker]:
    opened = Worker(venv)
    try:
        yield opened
    finally:
        opened.close()


def in_turns(
    ours: Callable[[], object], theirs: Callable[[], float], repeats: int
) -> tuple[float, float]:
    """Return milliseconds of CPU of one repeat of both: first quintiles of rounds that alternate."""
    mine: list[float] = []
    other: list[float] = []
    ours()
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(repeats):
            ours()
        mine.append(1e3 * (time.process_time() - began) / repeats)
        other.append(1e3 * theirs() / repeats)
    return statistics.quantiles(mine, n=5)[0], statistics.quantiles(other, n=5)[0]


@dataclass(frozen=True)
class Identity:
    """A code that both sides read.

    Attributes:
        name: as the report shows it.
        code: the text.
        public: the issuer's key.
        raw: its bytes, as the peer takes them.
        algorithm: what it signs with.
        now: Unix seconds at which the code is good.
    """

    name: str
    code: str
    public: Any
    raw: bytes
    algorithm: Algorithm
    now: int = makers.NOW


def identities() -> Iterator[Identity]:
    """Yield others' vectors, where they are at hand, and one of our own."""
    for name, algorithm in SIGNED.items():
        path = VECTORS / f"{name}.json"
        if not path.exists():
            continue
        vector = json.loads(path.read_text())
        raw = bytes.fromhex(vector["signing_key"]["public_key_hex"])
        public: Any = (
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
            if algorithm is Algorithm.ES256
            else ed25519.Ed25519PublicKey.from_public_bytes(raw)
        )
        yield Identity(
            f"MOSIP vector {name}", vector["qr_data"], public, raw, algorithm, VECTORS_NOW
        )
    public = makers.ec_key().public_key()
    raw = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    yield Identity("Claim 169 of our own", makers.claim169().decode(), public, raw, Algorithm.ES256)


def reader(identity: Identity) -> Callable[[], Credential]:
    """Return our part: text to judged claims."""
    key = IssuerKey(
        issuer="authority", kid=b"key-1", algorithm=identity.algorithm, public_key=identity.public
    )
    trust, rules = makers.trust(key), makers.replace(makers.RULES, now=identity.now)
    return lambda: registry.read(identity.code.encode(), keys=trust, rules=rules)


def claim169(venv: Path = VENV) -> tuple[list[Peer], list[Absent]]:
    """Text to checked claims: ours, and the claim169 package (Rust)."""
    why = missing("claim169", venv)
    if why is not None:
        return [], [Absent("claim169", why)]
    rows = []
    with worker(venv) as other:
        for each in identities():
            release = other.ask(
                do="claim169", code=each.code, key=each.raw.hex(), algorithm=str(each.algorithm)
            )
            ours, theirs = in_turns(reader(each), lambda: other.ask(do="again", repeats=20), 20)
            rows += [
                Peer(each.name, "idgate", ours),
                Peer(each.name, f"claim169 {release}", theirs),
            ]
    return rows, []


def face_recognition(venv: Path = VENV) -> tuple[list[Peer], list[Absent]]:
    """One face at 640x480: detection, and a template of the detected face."""
    why = missing("face_recognition", venv)
    if why is not None:
        return [], [Absent("face_recognition (dlib)", why)]
    from agent.biometrics.face.session import open_models
    from agent.settings.model import FaceConfig
    from tests.bench import bench_face

    picture = np.ascontiguousarray(bench_face.portrait())
    detector, embedder = open_models(FaceConfig(runtime=bench_face.installed()[0]))
    face = detector.detect(picture)[0]
    tasks = (
        ("face, detect", 1, lambda: detector.detect(picture)),
        ("face, detect", 0, lambda: detector.detect(picture)),
        ("face, align and embed", 1, lambda: embedder.embed(embedder.align(picture, face.points))),
    )
    rows: list[Peer] = []
    with worker(venv) as other:
        shape, data = list(picture.shape), picture.tobytes().hex()
        for task, upsample, act in tasks:
            release = other.ask(do=task, picture=data, shape=shape, upsample=upsample)
            ours, theirs = in_turns(act, lambda: other.ask(do="again", repeats=1), 1)
            how = "" if "embed" in task else (", as it comes" if upsample else ", not enlarged")
            if task not in {row.task for row in rows}:
                rows.append(Peer(task, "idgate", ours))
            rows.append(Peer(task, f"face_recognition {release}{how}", theirs))
    return rows, []


def measure(venv: Path = VENV) -> tuple[list[Peer], list[Absent]]:
    """Measure whichever peers are there."""
    rows: list[Peer] = []
    absent: list[Absent] = []
    for compare in (claim169, face_recognition):
        found, gone = compare(venv)
        rows += found
        absent += gone
    return rows, absent
