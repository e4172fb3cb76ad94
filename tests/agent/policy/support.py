"""A credential, a ticket and a profile to change one thing of."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from agent.credential.model import (
    BiometricReference,
    BusinessItem,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    ReplayKey,
)

NOW = int(dt.datetime(2026, 11, 23, 4, 0, tzinfo=dt.UTC).timestamp())  # noon in Shanghai


def face(position: int = 62) -> BiometricReference:
    modality = Modality.FACE if position == 62 else Modality.FINGER
    return BiometricReference(modality, ReferenceForm.TEMPLATE, b"t", 100, "m", position)


def credential(**change: object) -> Credential:
    base = Credential(
        format=FormatName.NATIVE,
        issuer="city",
        key_id=b"12345678",
        kind=Kind.ONLINE_ID,
        level=Level.UPGRADED,
        subject="s",
        issued_at=NOW - 1000,
        valid_from=NOW - 1000,
        valid_until=NOW + 1000,
        dynamic=True,
        replay_key=ReplayKey(b"k"),
        references=(face(),),
        birth_date="1990-05-05",
    )
    return replace(base, **change)  # type: ignore[arg-type]


def ticket(**change: object) -> BusinessItem:
    item = BusinessItem("railway", Kind.RAIL_TICKET, b"r", ReplayKey(b"ticket"), NOW - 10, NOW + 10)
    return replace(item, **change)  # type: ignore[arg-type]


RULES = """
name = "t"
title = "t"
kinds = ["online-id", "library-card"]
"""
