"""What a place needs to be told of a person, and whether a code told it.

A wallet may keep back what its card says (SD-CWT); the place's code asks for what the profile
needs, in these words: `birth-date`, `face`, `finger`, `name`, `age-N`.

Rules:
- a profile needs what its key `needs` lists, and what it asks for anyway: `minimum_age` needs that
  age, `biometric` the reference to compare with;
- `age-N` among the needs counts as `minimum_age` does: the higher of the two is asked;
- an age is told by any age that the issuer says was reached and is not lower, or by the birth date;
- a finger is told by the code or held by the module, so one that is enrolled is needed of no code;
- what is missing from a code of which something was kept back may be what was kept back. Otherwise
  the card does not say it.
"""

from __future__ import annotations

from typing import Final

from agent.credential.model import Credential, Modality
from agent.credential.needs import age_of
from agent.policy.profile import Ask, Profile
from agent.reason import Reason

__all__ = ["least_age", "needs_of", "place_code", "untold", "withheld"]

_COMPARED: Final = {
    Ask.NONE: (),
    Ask.FACE: ("face",),
    Ask.FINGER: ("finger",),
    Ask.BOTH: ("face", "finger"),
    Ask.EITHER: ("face", "finger"),
}
_BASIC: Final = 1
_NAMES: Final = frozenset({"full_name", "first_name", "last_name", "name"})
"""How formats call a name among the claims."""


def least_age(profile: Profile) -> int:
    """Return the age, in years, that a place asks for; 0 for none."""
    return max([profile.minimum_age, *(age_of(need) or 0 for need in profile.needs)])


def needs_of(profile: Profile) -> tuple[str, ...]:
    """Return all that a place asks wallets for, each word once, in a fixed order."""
    words = {need for need in profile.needs if age_of(need) is None}
    words.update(_COMPARED[profile.biometric])
    if profile.biometric_basic is not None and profile.level == _BASIC:
        words.update(_COMPARED[profile.biometric_basic])
    age = least_age(profile)
    return (*((f"age-{age}",) if age else ()), *sorted(words))


def place_code(site: str, gate: str, profile: Profile, nonce: bytes | None = None) -> str:
    """Return the text of a gate's own code, which a wallet scans before it shows one.

    Args:
        site: its name, as `aud` gives it.
        gate: likewise.
        profile: what the gate asks.
        nonce: its challenge, where it shows one.
    """
    challenge = "" if nonce is None else f"cnonce={nonce.hex()}&"
    return f"idgate:{site}/{gate}?{challenge}need={','.join(needs_of(profile))}"


def untold(credential: Credential, profile: Profile, *, enrolled: bool) -> Reason | None:
    """Return why a code does not tell what the key `needs` lists, ages aside; None where it does.

    Args:
        credential: what the code proved.
        profile: what the place asks.
        enrolled: whether the fingerprint module holds a finger of the subject.
    """
    modalities = {reference.modality for reference in credential.references}
    told = {
        "birth-date": credential.birth_date is not None,
        "name": not _NAMES.isdisjoint(credential.claims),
        "face": Modality.FACE in modalities,
        "finger": enrolled or Modality.FINGER in modalities,
    }
    for need in profile.needs:
        if not told.get(need, True):
            reference = need in ("face", "finger")
            return withheld(credential, Reason.NO_REFERENCE if reference else Reason.MISSING_CLAIM)
    return None


def withheld(credential: Credential, otherwise: Reason) -> Reason:
    """Return the reason for what a code does not tell: it was kept back, or the card has it not."""
    return Reason.CLAIM_NOT_DISCLOSED if credential.undisclosed else otherwise
