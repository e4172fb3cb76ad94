"""Operators' keys that share an id: renewals are one operator, anything else is nobody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agent.trust.model import OperatorKey

__all__ = ["settle_operators"]


def settle_operators(
    found: Sequence[tuple[Path, OperatorKey]],
) -> tuple[list[OperatorKey], list[tuple[Path, str]]]:
    """Return operators with an id of their own each, and the files that cannot be told apart.

    One operator's key that comes twice, with the same roles and validities that meet, is a renewal
    and counts as one key from the first second to the last. Otherwise a command's signature would
    not say who gave it, or what they may: none of those that share the id commands anything.
    """
    from agent.credential.keys import spki

    sharing: defaultdict[bytes, list[tuple[Path, OperatorKey]]] = defaultdict(list)
    for file, operator in found:
        sharing[operator.kid].append((file, operator))
    settled, faults = [], []
    for kid, group in sharing.items():
        operators = sorted((operator for _, operator in group), key=lambda key: key.valid_from)
        merged = operators[0]
        told_apart = True
        for operator in operators[1:]:
            same = (operator.name, operator.roles, operator.algorithm) == (
                merged.name,
                merged.roles,
                merged.algorithm,
            ) and spki(operator.public_key) == spki(merged.public_key)
            told_apart = told_apart and same and operator.valid_from <= merged.valid_until + 1
            merged = replace(merged, valid_until=max(merged.valid_until, operator.valid_until))
        if told_apart:
            settled.append(merged)
        else:
            names = " and ".join(sorted({operator.name for operator in operators}))
            faults += [(file, f"operators {names}: one kid, {kid.hex()}") for file, _ in group]
    return settled, faults
