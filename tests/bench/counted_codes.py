"""Codes and frames for `tests.bench.counted`, the same to the last byte in every run.

    python -m tests.bench.counted_codes FRAMES

Drawing a symbol takes longer under callgrind than all that is counted, so it is done before, natively.
"""

from __future__ import annotations

import functools
import hashlib
import random
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from numpy.typing import NDArray

from agent.credential.issuers import Algorithm
from agent.issuing import issue
from agent.issuing.issue import Holder, Issuer, present
from agent.issuing.keys import SigningKey
from agent.trust.snapshot import TrustSnapshot
from hal.simulated.scene import Phone, Scene
from tests.bench import bench_scan
from tests.support import makers

NOW = makers.NOW
PASSAGES = 16
"""Codes that are drawn for whole passages."""
PRIMES = (3 * 2**1022 + 1037, 7 * 2**1021 + 309)
"""Of the RSA key: the first primes past two round numbers. No secret, but fixed."""

Frames = dict[str, NDArray[np.uint8]]


@contextmanager
def fixed() -> Iterator[None]:
    """Sign without chance: RFC 6979 nonces, a seeded source for the rest, one RSA key."""
    chance = random.Random(1)
    begin = ec.ECDSA.__init__

    def always(self: ec.ECDSA, algorithm: Any, *_: object, **__: object) -> None:
        begin(self, algorithm, deterministic_signing=True)

    with (
        mock.patch.object(ec.ECDSA, "__init__", always),
        mock.patch.object(secrets, "randbelow", chance.randrange),
        mock.patch.object(secrets, "token_bytes", chance.randbytes),
        mock.patch.object(makers, "rsa_key", return_value=rsa_key()),
    ):
        yield


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    p, q = PRIMES
    private = pow(65537, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p, q, private, private % (p - 1), private % (q - 1), pow(q, -1, p),
        rsa.RSAPublicNumbers(65537, p * q),
    ).private_key()  # fmt: skip


@dataclass
class Codes:
    """An issuer, a holder, and codes of theirs; to be made under `fixed`."""

    issuer: Issuer = field(
        default_factory=lambda: Issuer("city", "urn:idgate:issuer:city", _key(7))
    )
    holder: Holder = field(default_factory=lambda: Holder(_key(8)))

    def credential(self, number: int = 0) -> bytes:
        return issue.sign_credential(
            self.issuer, self.holder, subject="8f14e45fceea167a", issued_at=NOW - 86_400,
            valid_until=NOW + 86_400, level=2, kind="library-card", birth_date="1990-01-31",
            regions=["CN-BJ"], references=[issue.face_template(bytes(range(128)), "face-128")],
            cti=hashlib.sha256(b"%d" % number).digest()[:16],
        )  # fmt: skip

    def dynamic(self, number: int = 0) -> bytes:
        return present(self.credential(number), self.holder, at=NOW, audience="bench/g").encode()

    def static(self) -> bytes:
        return present(self.credential()).encode()

    def trust(self) -> TrustSnapshot:
        iss = frozenset({self.issuer.iss})
        return TrustSnapshot(keys=(self.issuer.issuer_key(iss=iss),), updated_at=NOW)


def _key(number: int) -> SigningKey:
    return SigningKey(Algorithm.ES256, makers.ec_key(number))


def draw() -> Frames:
    """Return the frames: `held` and `empty` as bench_scan has them, `way` with a fresh code each."""
    scene, way = Scene(seed=1, noise=3), []
    with fixed():
        codes = Codes()
        texts = [codes.dynamic(number).decode() for number in range(PASSAGES)]
    for number, text in enumerate(texts):
        scene.show(Phone(text).at_module_px(4.0))
        way.append(cv2.cvtColor(scene.render(number), cv2.COLOR_RGB2GRAY))
    return {
        "held": np.stack(bench_scan.phone()),
        "empty": np.stack(bench_scan.empty_place()),
        "way": np.stack(way),
    }


def save(path: Path) -> None:
    np.savez(path, **draw())


def load(path: Path) -> Frames:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


if __name__ == "__main__":
    save(Path(sys.argv[1]))
