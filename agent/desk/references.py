"""Biometric references on their way from the desk to a phone, sealed with what the phone holds.

Rules: the salt of the seal is the bearer's own secret (an offer's code, an access token), of which
the database has a keyed hash only; so neither the database nor the site key opens a template, and
no template outlives the row that it waits in.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.credential import cbor
from agent.credential.model import BiometricReference, Modality, ReferenceForm
from agent.desk.seal import SiteKey

__all__ = ["open_references", "seal_references"]

_PURPOSE = "references"


def seal_references(
    key: SiteKey, references: Iterable[BiometricReference], *, secret: str, about: bytes
) -> bytes | None:
    """Seal references; None where there are none.

    Args:
        key: of the site.
        references: templates or small photos.
        secret: the bearer's, without which they stay shut.
        about: names the row, so that a seal cannot be moved to another.
    """
    rows = [
        [str(one.modality), str(one.form), one.data, one.subformat, one.issuer, one.position]
        for one in references
    ]
    if not rows:
        return None
    return key.seal(_PURPOSE, cbor.encode(rows), about=about, salt=secret.encode())


def open_references(
    key: SiteKey, sealed: bytes | None, *, secret: str, about: bytes
) -> tuple[BiometricReference, ...]:
    """Open what `seal_references` made with the same words.

    Raises:
        SealBroken: it did not.
    """
    if sealed is None:
        return ()
    rows = cbor.decode(key.open(_PURPOSE, sealed, about=about, salt=secret.encode()))
    return tuple(
        BiometricReference(Modality(modality), ReferenceForm(form), data, subformat, issuer, place)
        for modality, form, data, subformat, issuer, place in rows
    )
