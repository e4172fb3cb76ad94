"""A publisher and a gate for the tests: real repository, real keys, real cache."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner

from agent.trust.cache import load_signed
from agent.trust.publish import ROLES, Lifetimes, Repository
from agent.trust.snapshot import TrustSnapshot
from agent.trust.update import pin_root, update


def new_public_pem() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Publisher:
    """Holds every key of one repository."""

    def __init__(
        self,
        path: Path,
        *,
        root_keys: int = 1,
        root_threshold: int = 1,
        roles: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.signers: dict[str, list[CryptoSigner]] = {
            role: [CryptoSigner.generate_ed25519()] for role in (*ROLES, *roles)
        }
        self.signers["root"] += [CryptoSigner.generate_ed25519() for _ in range(root_keys - 1)]
        self.repository = Repository.create(
            path,
            now=int(time.time()),
            keys={role: [s.public_key for s in made] for role, made in self.signers.items()},
            thresholds={"root": root_threshold},
            lifetimes=Lifetimes(),
        )

    def add(self, **files: bytes) -> None:
        for name, data in files.items():
            self.repository.add(name.replace("__", "/") + ".pem", data)

    def publish(self, *, now: int | None = None) -> int:
        self.repository = Repository(self.path, now=now or int(time.time()))
        if self.repository.missing():
            self.repository.sign(self.signers["root"] + self.signers["targets"])
        return self.repository.publish(self.online)

    @property
    def online(self) -> list[CryptoSigner]:
        """The signers on the publishing machine."""
        wanted = ("snapshot", "timestamp", "status")
        return [signer for role in wanted for signer in self.signers.get(role, ())]

    @property
    def first_root(self) -> bytes:
        return (self.path / "metadata" / "1.root.json").read_bytes()


class GateCache:
    """A gate's side."""

    def __init__(self, path: Path, root: bytes) -> None:
        self.path = path
        pin_root(path, root)

    def update(self, source: Path | str, *, now: int | None = None, **options: Any) -> bool:
        return update(self.path, str(source), now=now or int(time.time()), **options).changed

    def load(self) -> TrustSnapshot:
        return load_signed(self.path, int(time.time()))

    def issuers(self) -> list[str]:
        return sorted(key.issuer for key in self.load().keys)


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, symlinks=True))
