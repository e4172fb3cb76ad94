"""What trust costs a passage, and a start: lookups against bare memory work, loads against parsing.

Ratios in one run, timed in turns, so that a busy machine slows both sides. Run as a script or with
`pytest -m bench tests/bench/bench_trust.py`.
"""

from __future__ import annotations

import hmac
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from agent.credential.model import StatusReference
from agent.trust.directory import load_directory
from agent.trust.roster import RosterEntry, load_roster, write_roster
from agent.trust.snapshot import TrustSnapshot
from agent.trust.status import StatusList

pytestmark = pytest.mark.bench

NOW = 1_780_000_000
KEY = bytes(range(32))
ENTRIES = 10_000_000
SUBJECTS = 1_000_000
ISSUERS = 50
ROUNDS, REPEATS = 40, 200

STATUS_LIMIT = 0.2
"""A status lookup, against one ECDSA P-256 verification: what the passage pays anyway."""
ROSTER_LIMIT = 0.5
"""A roster lookup, against the same."""
SIZE_LIMIT = 1.2
"""A lookup in the large list or roster, against a small one: it must not grow with the size.
Bisection adds a step each time that the size doubles, so a roster is allowed more."""
ROSTER_SIZE_LIMIT = 3.0
LOAD_LIMIT = 12.0
"""Loading the directory, against reading and parsing the same PEM files and nothing else."""


def paired(
    one: Callable[[], object], other: Callable[[], object], repeats: int = REPEATS
) -> tuple[float, float]:
    """Return seconds a call of both, each the median over rounds that alternate."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, found in zip((one, other), times, strict=True):
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            found.append((time.perf_counter() - start) / repeats)
    return statistics.median(times[0]), statistics.median(times[1])


def report(name: str, one: float, other: float, against: str) -> float:
    print(f"{name}: {one * 1e6:.2f} us, {against}: {other * 1e6:.2f} us, ratio {one / other:.3f}")
    return one / other


def ecdsa() -> Callable[[], object]:
    from cryptography.hazmat.primitives import hashes

    key = ec.generate_private_key(ec.SECP256R1())
    public, scheme = key.public_key(), ec.ECDSA(hashes.SHA256())
    signature = key.sign(b"passage", scheme)
    return lambda: public.verify(signature, b"passage", scheme)


def status(entries: int) -> Callable[[], object]:
    data = random.Random(1).randbytes(entries // 8)
    snapshot = TrustSnapshot(status_lists=(StatusList("u", "i", 1, data, issued_at=NOW),))
    indexes = iter(random.Random(2).choices(range(entries), k=1_000_000))
    return lambda: snapshot.status(StatusReference("u", next(indexes)), NOW, "i")


def test_a_status_lookup_is_small_beside_a_signature_and_does_not_grow() -> None:
    large = status(ENTRIES)
    assert report("status of 10 M", *paired(large, ecdsa()), "ECDSA verify") < STATUS_LIMIT
    assert report("status of 10 M", *paired(large, status(1_000)), "status of 1 k") < SIZE_LIMIT


def test_a_roster_lookup_is_small_beside_a_signature_and_hardly_grows() -> None:
    with tempfile.TemporaryDirectory() as folder:

        def roster(size: int) -> Callable[[], object]:
            path = Path(folder, f"{size}.roster")
            entries = (RosterEntry(f"subject-{number}", issuer="i") for number in range(size))
            write_roster(path, entries, key=KEY, blocks=False, created=NOW)
            loaded = load_roster(path, KEY, settled=True)
            asked = iter(random.Random(3).choices(range(size), k=1_000_000))
            return lambda: loaded.lists("i", f"subject-{next(asked)}", NOW)

        large = roster(SUBJECTS)
        assert report("roster of 1 M", *paired(large, ecdsa()), "ECDSA verify") < ROSTER_LIMIT
        bare = lambda: hmac.digest(KEY, b"a subject's name", "sha256")  # noqa: E731
        report("roster of 1 M", *paired(large, bare), "one bare HMAC")
        ratio = report("roster of 1 M", *paired(large, roster(1_000)), "roster of 1 k")
        assert ratio < ROSTER_SIZE_LIMIT


def test_loading_a_directory_is_bounded_by_reading_its_keys() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ISSUERS):
            key = ed25519.Ed25519PrivateKey.generate().public_key()
            pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            Path(folder, f"issuer-{number}.pem").write_bytes(pem)
            Path(folder, f"issuer-{number}.toml").write_text('kinds = ["online-id"]\n')

        def bare() -> None:
            for path in Path(folder).glob("*.pem"):
                load_pem_public_key(path.read_bytes())

        whole, parts = paired(lambda: load_directory(Path(folder), now=NOW), bare, repeats=1)
        assert report(f"directory of {ISSUERS} issuers", whole, parts, "bare PEM") < LOAD_LIMIT


if __name__ == "__main__":
    test_a_status_lookup_is_small_beside_a_signature_and_does_not_grow()
    test_a_roster_lookup_is_small_beside_a_signature_and_hardly_grows()
    test_loading_a_directory_is_bounded_by_reading_its_keys()
