"""The doubts about a module, rule by rule, against a module that says what the test wants."""

from __future__ import annotations

import random
import secrets

import pytest

from agent.biometrics.finger.guard import Guard, SensorSuspect, pair
from hal.errors import SensorError
from hal.fingerprint import REFERENCE, PasswordRefused, SensorRefused

SECRET = bytes(range(32))
REFUSED = SensorRefused("command", 0x18)
DEAD = SensorError("no answer")


class Module:
    """Its answers are set by the test; one that is an error is raised."""

    def __init__(self, *, note: object = SECRET, score: object = 0, password: object = None):
        self.note, self.score, self.password = note, score, password
        self.asked: list[str] = []
        self.notes: dict[int, bytes] = {}
        self.buffers: dict[int, bytes] = {}

    def _answer(self, word: str, answer):
        self.asked.append(word)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def verify_password(self) -> None:
        self._answer("password", self.password)

    def read_note(self, page: int) -> bytes:
        return self._answer(f"note {page}", self.note if page == 0 else bytes(32))

    def write_note(self, page: int, data: bytes) -> None:
        self.notes[page] = data
        if self.note is SECRET:
            self.note = data

    def download(self, template: bytes, buffer: int) -> None:
        self.buffers[buffer] = template

    def compare(self) -> int:
        return self._answer("compare", self.score)


def guard(module: Module, *, secret=SECRET, decoy_rate=0.25, threshold=50, rng=None) -> Guard:
    return Guard(module, secret=secret, decoy_rate=decoy_rate, threshold=threshold, rng=rng)


PROOFS = [
    ("ours", {}, SECRET, None, ""),
    ("never paired", {"note": DEAD}, None, None, ""),
    ("another password", {"password": PasswordRefused("no")}, SECRET, PasswordRefused, "no"),
    ("another password, never paired", {"password": PasswordRefused("no")}, None, PasswordRefused, "no"),
    ("another secret", {"note": bytes(32)}, SECRET, SensorSuspect, "the module's pairing secret is another one: was it exchanged?"),
    ("the beginning of the secret", {"note": SECRET[:-1]}, SECRET, SensorSuspect, "the module's pairing secret is another one: was it exchanged?"),
    ("an empty notepad", {"note": b""}, SECRET, SensorSuspect, "the module's pairing secret is another one: was it exchanged?"),
    ("no notepad", {"note": REFUSED}, SECRET, SensorSuspect, "the module does not show its pairing secret"),
    ("silent", {"note": DEAD}, SECRET, SensorError, "no answer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "secret", "error", "message"),
    [row[1:] for row in PROOFS],
    ids=[row[0] for row in PROOFS],
)
def test_proof(module, secret, error, message) -> None:
    here = Module(**module)
    if error is None:
        guard(here, secret=secret).prove()
    else:
        with pytest.raises(error) as caught:
            guard(here, secret=secret).prove()
        assert type(caught.value) is error
        assert str(caught.value) == message
    assert here.asked[0] == "password"
    assert set(here.asked[1:]) <= {"note 0"}  # where modules that were paired keep it


class Draws(random.Random):
    """Draws what the test says."""

    def __init__(self, draw: float) -> None:
        super().__init__(1)
        self.draw = draw

    def random(self) -> float:
        return self.draw


@pytest.mark.parametrize(
    ("rate", "draw", "decoy"),
    [(0.25, 0.2499, True), (0.25, 0.25, False), (0.0, 0.0, False), (1.0, 1 - 2**-53, True)],
)
def test_the_rate_is_a_share_of_the_draws(rate, draw, decoy) -> None:
    assert guard(Module(), decoy_rate=rate, rng=Draws(draw)).draws_decoy() is decoy


def test_nobody_can_foresee_the_decoys() -> None:
    """Seeding Python's own generator changes nothing."""
    seen = set()
    for _ in range(2):
        random.seed(1)
        here = guard(Module(), decoy_rate=0.5)
        seen.add(tuple(here.draws_decoy() for _ in range(128)))
    assert len(seen) == 2


def test_a_decoy_lies_where_the_reference_would() -> None:
    module, template = Module(), bytes(range(200))
    guard(module, rng=random.Random(1)).lay_decoy(template)
    assert module.buffers.keys() == {REFERENCE}
    assert module.buffers[REFERENCE] != template
    assert sorted(module.buffers[REFERENCE]) == sorted(template)


@pytest.mark.parametrize(
    ("score", "error", "message"),
    [
        (0, None, ""),
        (49, None, ""),
        (50, SensorSuspect, "the module called a decoy a match"),
        (51, SensorSuspect, "the module called a decoy a match"),
        (REFUSED, None, ""),
        (DEAD, SensorError, "no answer"),
    ],
    ids=["no match", "just below", "at the threshold", "above", "will not compare", "silent"],
)
def test_a_decoy_must_not_match(score, error, message) -> None:
    here = guard(Module(score=score))
    if error is None:
        here.expect_no_match()
    else:
        with pytest.raises(error) as caught:
            here.expect_no_match()
        assert str(caught.value) == message


def test_each_module_gets_a_secret_of_its_own_as_long_as_the_page(monkeypatch) -> None:
    monkeypatch.setattr(secrets, "DEFAULT_ENTROPY", 16)  # which "may change at any time"
    modules = Module(), Module()
    made = [pair(module) for module in modules]
    assert [module.notes for module in modules] == [{0: secret} for secret in made]
    assert made[0] != made[1]
    assert {len(secret) for secret in made} == {32}


def test_a_module_that_does_not_keep_its_secret_is_not_paired() -> None:
    with pytest.raises(SensorSuspect) as caught:
        pair(Module(note=bytes(32)))
    assert str(caught.value) == "the module did not keep what was written into its notepad"
