"""The people of the soak: who comes to the gate, with which code, and what should become of it."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from dataclasses import dataclass, field, replace

from agent.credential.model import Kind, Level
from agent.issuing.issue import (
    Holder,
    Issuer,
    face_template,
    new_issuer,
    present,
    sign_credential,
)
from agent.passage.types import Code
from agent.reason import Reason
from agent.trust.snapshot import TrustSnapshot
from hal.simulated.barrier import Behaviour

__all__ = ["KINDS_OF_VISIT", "Person", "Town", "Visit"]

DAY_S = 86_400
FRESH_S = 25.0
"""A code younger than this is certainly fresh; the gate's own limit is 30 s."""

KINDS_OF_VISIT = {
    "genuine": 60,
    "impostor": 5,
    "replayer": 7,
    "stale": 5,
    "early phone": 2,
    "wrong kind": 3,
    "forger": 3,
    "foreign issuer": 3,
    "elsewhere": 2,
    "screenshot": 3,
    "expired": 2,
    "garbage": 3,
    "two codes": 2,
    "swapper": 2,
    "leaver": 2,
    "jumper": 2,
}
WALKS = {
    Behaviour.PASS: 80,
    Behaviour.STAY: 7,
    Behaviour.TAILGATED: 6,
    Behaviour.TURN_BACK: 4,
    Behaviour.CRAWL_BACK: 3,
}


@dataclass
class Person:
    """Somebody with a wallet.

    Attributes:
        number: becomes the subject.
        upgraded: has a face reference, and so is asked for the face.
        failures: counted failures of the face since the last success, true time.
    """

    number: int
    holder: Holder
    upgraded: bool
    issuer: Issuer | None = None
    credential: bytes = b""
    failures: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Visit:
    """One appearance before the camera.

    Attributes:
        name: what kind of visitor.
        codes: what the camera sees, one list of codes after the other.
        expected: reasons that an undisturbed gate may give; empty where anything may be.
        may_pass: whether the gate may open for it at all.
        face: (seconds, matched, reason) of the face, if it is asked.
        walk: what the visitor does at an open gate.
        person: whose credential it is.
    """

    name: str
    codes: tuple[Code, ...]
    expected: frozenset[Reason]
    may_pass: bool
    face: tuple[float, bool, Reason]
    walk: Behaviour
    person: Person | None


class Town:
    """People, their issuers, and the codes that were seen.

    Args:
        rng: of the run.
        now: true Unix seconds.
        people: how many.
    """

    def __init__(self, rng: random.Random, now: float, people: int) -> None:
        self.rng = rng
        self.issuers = [new_issuer("town-0", "ES256")]
        self.believed = list(self.issuers)
        self.foreign = new_issuer("elsewhere", "ES256")
        self.people = [Person(n, Holder.new(), n % 3 == 0) for n in range(people)]
        self.victim = self.people[0]
        """Whose phone was stolen last: the thief tries again, and the owner comes too."""
        for person in self.people:
            self.renew(person, now)
        self.shown: deque[tuple[float, Person, Code]] = deque(maxlen=40)
        self.trust = self._snapshot(now)

    # --- issuers

    def rotate(self, now: float) -> None:
        """Begin a new issuer key; both are believed for now."""
        self.issuers.append(new_issuer(f"town-{len(self.issuers)}", "ES256"))
        self.believed = self.issuers[-2:]
        self.trust = self._snapshot(now)

    def drop_old(self, now: float) -> None:
        """End the belief in the old key."""
        self.believed = self.issuers[-1:]
        self.trust = self._snapshot(now)

    def _snapshot(self, now: float) -> TrustSnapshot:
        keys = tuple(issuer.issuer_key() for issuer in self.believed)
        return TrustSnapshot(keys=keys, updated_at=int(now))

    def renew(self, person: Person, now: float) -> None:
        """Issue under the newest key."""
        person.issuer = self.issuers[-1]
        person.credential = self._issue(person, person.issuer, now)

    def _issue(
        self, person: Person, issuer: Issuer, now: float, *, kind: Kind = Kind.ONLINE_ID,
        valid_s: float = 3 * DAY_S,
    ) -> bytes:  # fmt: skip
        level = Level.UPGRADED if person.upgraded else Level.BASIC
        return sign_credential(
            issuer, person.holder, subject=f"person-{person.number}", issued_at=int(now) - DAY_S,
            valid_until=int(now + valid_s), kind=kind, level=level,
            references=[face_template(bytes(128), "m")] if person.upgraded else [],
        )  # fmt: skip

    # --- visits

    def visit(self, now: float) -> Visit:
        """Return the next visitor.

        Args:
            now: true Unix seconds.
        """
        rng = self.rng
        name = rng.choices([*KINDS_OF_VISIT], [*KINDS_OF_VISIT.values()])[0]
        person = rng.choice(self.people)
        if person.issuer is not self.issuers[-1] and rng.random() < 0.5:
            self.renew(person, now)
        walk = rng.choices([*WALKS], [*WALKS.values()])[0]
        plain = Visit(name, (), frozenset(), False, self._face(genuine=True), walk, person)
        return getattr(self, "_" + name.replace(" ", "_"))(plain, person, now)

    def _face(self, *, genuine: bool) -> tuple[float, bool, Reason]:
        after = self.rng.uniform(0.4, 2.0)
        if genuine:
            return after, True, Reason.GRANTED
        return after, False, Reason.FACE_MISMATCH

    def _code(self, credential: bytes, person: Person, at: float, audience: str = "soak/g") -> Code:
        text = present(credential, person.holder, at=int(at), audience=audience).encode()
        return Code(hashlib.sha256(text).digest(), text)

    def _good(self, person: Person) -> tuple[frozenset[Reason], bool]:
        """Return what becomes of a genuine code: its issuer may be gone, its owner locked out."""
        if person.issuer not in self.believed:
            return frozenset({Reason.UNKNOWN_ISSUER}), False
        if person.upgraded and person.failures:
            return frozenset({Reason.GRANTED, Reason.LOCKED_OUT}), True
        return frozenset({Reason.GRANTED}), True

    def _genuine(self, visit: Visit, person: Person, now: float) -> Visit:
        if self.rng.random() < 0.15:
            person = self.victim
            visit = replace(visit, person=person)
        expected, may_pass = self._good(person)
        code = self._code(person.credential, person, now)
        self.shown.append((now, person, code))
        return replace(visit, codes=(code,), expected=expected, may_pass=may_pass)

    def _impostor(self, visit: Visit, person: Person, now: float) -> Visit:
        person = self.victim if self.rng.random() < 0.8 else person
        if not person.upgraded:
            return self._stale(visit, person, now)
        self.victim = person
        visit = replace(visit, person=person)
        good, _ = self._good(person)
        expected = (good - {Reason.GRANTED}) | {Reason.FACE_MISMATCH, Reason.LOCKED_OUT}
        code = self._code(person.credential, person, now)
        face = self._face(genuine=False)
        return replace(visit, codes=(code,), expected=frozenset(expected), face=face)

    def _replayer(self, visit: Visit, person: Person, now: float) -> Visit:
        """Show somebody else's code again; the one who made it may not have passed on it."""
        if not self.shown:
            return self._stale(visit, person, now)
        recent = [*self.shown][-3:] if self.rng.random() < 0.6 else [*self.shown]
        at, owner, code = self.rng.choice(recent)
        if now - at < 40 and not owner.upgraded:
            # Fresh and without a biometric: whether it opens depends on whether it was used.
            return replace(visit, codes=(code,), may_pass=True, person=owner)
        expected = {Reason.STALE, Reason.UNKNOWN_ISSUER} if now - at > 40 else set()
        face = self._face(genuine=False)
        return replace(visit, codes=(code,), expected=frozenset(expected), face=face, person=owner)

    def _stale(self, visit: Visit, person: Person, now: float) -> Visit:
        code = self._code(person.credential, person, now - self.rng.uniform(45, 4000))
        return replace(visit, codes=(code,), expected=self._only(person, Reason.STALE))

    def _early_phone(self, visit: Visit, person: Person, now: float) -> Visit:
        code = self._code(person.credential, person, now + self.rng.uniform(60, 4000))
        return replace(visit, codes=(code,), expected=self._only(person, Reason.ISSUED_IN_FUTURE))

    def _wrong_kind(self, visit: Visit, person: Person, now: float) -> Visit:
        signed = self._issue(person, self.issuers[-1], now, kind=Kind.RAIL_TICKET)
        code = self._code(signed, person, now)
        return replace(visit, codes=(code,), expected=frozenset({Reason.KIND_NOT_ACCEPTED}))

    def _forger(self, visit: Visit, person: Person, now: float) -> Visit:
        """Sign with an own key under the name and key id of the real issuer."""
        issuer = self.issuers[-1]
        key_id = issuer.kid

        class Forged(Issuer):
            @property
            def kid(self) -> bytes:
                return key_id

        forged = Forged(issuer.name, issuer.iss, self.foreign.key)
        code = self._code(self._issue(person, forged, now), person, now)
        return replace(visit, codes=(code,), expected=frozenset({Reason.BAD_SIGNATURE}))

    def _foreign_issuer(self, visit: Visit, person: Person, now: float) -> Visit:
        code = self._code(self._issue(person, self.foreign, now), person, now)
        return replace(visit, codes=(code,), expected=frozenset({Reason.UNKNOWN_ISSUER}))

    def _elsewhere(self, visit: Visit, person: Person, now: float) -> Visit:
        code = self._code(person.credential, person, now, audience="other/g")
        return replace(visit, codes=(code,), expected=self._only(person, Reason.WRONG_AUDIENCE))

    def _screenshot(self, visit: Visit, person: Person, now: float) -> Visit:
        """Show the credential itself, without the phone's signature."""
        text = present(person.credential).encode()
        code = Code(hashlib.sha256(text).digest(), text)
        return replace(
            visit, codes=(code,), expected=self._only(person, Reason.STATIC_NOT_ACCEPTED)
        )

    def _expired(self, visit: Visit, person: Person, now: float) -> Visit:
        signed = self._issue(person, self.issuers[-1], now, valid_s=-600.0)
        code = self._code(signed, person, now)
        return replace(visit, codes=(code,), expected=frozenset({Reason.EXPIRED}))

    def _garbage(self, visit: Visit, person: Person, now: float) -> Visit:
        body = self.rng.choices("0123456789ABCDEF $%*+-./:", k=self.rng.randrange(1, 300))
        text = (self.rng.choice(["NI1:", "HC1:", ""]) + "".join(body)).encode()
        return replace(visit, codes=(Code(hashlib.sha256(text).digest(), text),))

    def _two_codes(self, visit: Visit, person: Person, now: float) -> Visit:
        other = self.rng.choice(self.people)
        codes = (
            self._code(person.credential, person, now),
            self._code(other.credential, other, now - 1),
        )
        return replace(visit, codes=codes, expected=frozenset({Reason.SEVERAL_CODES}))

    def _swapper(self, visit: Visit, person: Person, now: float) -> Visit:
        return replace(self._genuine(visit, person, now), name="swapper", expected=frozenset())

    def _leaver(self, visit: Visit, person: Person, now: float) -> Visit:
        visit = self._genuine(visit, person, now)
        if visit.person is None or not visit.person.upgraded:
            return visit
        expected = (visit.expected - {Reason.GRANTED}) | {Reason.PERSON_LEFT}
        face = (1.0, False, Reason.PERSON_LEFT)
        return replace(visit, name="leaver", face=face, expected=expected)

    def _jumper(self, visit: Visit, person: Person, now: float) -> Visit:
        return replace(visit, person=None)

    def _only(self, person: Person, reason: Reason) -> frozenset[Reason]:
        gone = person.issuer not in self.believed
        return frozenset({Reason.UNKNOWN_ISSUER if gone else reason})
