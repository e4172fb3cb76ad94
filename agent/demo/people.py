"""Who comes to the gates: issuers that are trusted and one that is not, and people with phones.

Everything is made anew at each run: keys, credentials, codes. Nobody here exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent.credential.model import BiometricReference, Kind, Level
from agent.issuing.issue import Holder, Issuer, new_issuer, present, sign_credential

__all__ = ["People", "Person"]

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a phone.

    Attributes:
        name: how the table calls them.
        holder: the phone's key.
        credential: signed by its issuer.
        face: whose picture stands before the camera, by name; empty for none.
    """

    name: str
    holder: Holder = field(repr=False)
    credential: bytes = field(repr=False)
    face: str = ""

    def code(self, at: float, *, audience: str = "*") -> str:
        """Return a dynamic code made at a moment."""
        return present(self.credential, self.holder, at=int(at), audience=audience)

    def printed(self) -> str:
        """Return the credential as a static code, as on a printed card."""
        return present(self.credential)


class People:
    """The issuers and everybody's credentials.

    Args:
        now: Unix seconds.
        templates: face and finger references by name.
    """

    def __init__(self, now: int, templates: dict[str, BiometricReference]) -> None:
        self._now = now
        self._templates = templates
        self.city = new_issuer("city", "ES256")
        self.library = new_issuer("library", "EdDSA")
        self.stranger = new_issuer("nobody-knows", "ES256")

    def write_trust(self, directory: Path) -> None:
        """Write what the gates believe: one issuer a file, with a TOML beside it."""
        directory.mkdir(parents=True)
        for issuer, kinds in ((self.city, ()), (self.library, (Kind.LIBRARY_CARD,))):
            (directory / f"{issuer.name}.pem").write_bytes(issuer.key.public_pem())
            (directory / f"{issuer.name}.toml").write_text(issuer.trust_toml(kinds))

    def traveller(self, name: str, *, face: str, reference: str = "") -> Person:
        """Return somebody with an upgraded online ID that carries a face or a finger."""
        return self._person(
            name, self.city, Kind.ONLINE_ID, Level.UPGRADED, face=face, reference=reference or face
        )

    def basic(self, name: str) -> Person:
        """Return somebody with a basic-level online ID."""
        return self._person(name, self.city, Kind.ONLINE_ID, Level.BASIC)

    def reader(self, name: str) -> Person:
        """Return somebody with a library card."""
        return self._person(name, self.library, Kind.LIBRARY_CARD, Level.BASIC)

    def driver(self, name: str) -> Person:
        """Return somebody with a driving licence, which no library asks for."""
        return self._person(name, self.city, Kind.DRIVING_LICENCE, Level.UPGRADED)

    def outsider(self, name: str) -> Person:
        """Return somebody whose issuer no gate knows."""
        return self._person(name, self.stranger, Kind.LIBRARY_CARD, Level.BASIC)

    def lapsed(self, name: str) -> Person:
        """Return somebody whose card ran out yesterday."""
        return self._person(
            name, self.library, Kind.LIBRARY_CARD, Level.BASIC, until=self._now - DAY_S
        )

    def _person(
        self,
        name: str,
        issuer: Issuer,
        kind: Kind,
        level: Level,
        *,
        face: str = "",
        reference: str = "",
        until: int = 0,
    ) -> Person:
        holder = Holder.new()
        references = [self._templates[reference]] if reference else []
        credential = sign_credential(
            issuer,
            holder,
            subject=f"subject-of-{name.lower().replace(' ', '-')}",
            issued_at=self._now - 30 * DAY_S,
            valid_until=until or self._now + 365 * DAY_S,
            kind=kind,
            level=level,
            birth_date="1990-04-01",
            references=references,
            identity={4: f"{name} Demo"},
            version=2,
        )
        return Person(name, holder, credential, face)


def tampered(code: str) -> str:
    """Return a code with one character of its signature's end changed."""
    swap = "A" if code[-4] != "A" else "B"
    return f"{code[:-4]}{swap}{code[-3:]}"
