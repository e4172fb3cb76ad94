"""The gates file: which gates a fleet has, and by which keys they speak.

    [[gate]]
    site = "station"
    gate = "gate-1"
    keys = ["8f3a..."]     # public keys, from `idgate gate key`; left out: the first to come

Rules: closed; each gate once; a key belongs to one gate. One that is away, or never came, is then
told; with the file, a gate that is not in it is not believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from agent.report.seals import KEY_TEXT
from agent.report.topics import GateAddress

__all__ = ["Expected", "read_gates"]

Expected = Mapping[GateAddress, frozenset[bytes]]
"""Keys by gate; none where the first to come is believed."""

_LARGEST = 4 * 2**20
Name = Annotated[str, Meta(min_length=1, max_length=64)]


class _Gate(Struct, frozen=True, forbid_unknown_fields=True):
    site: Name
    gate: Name
    keys: tuple[str, ...] = ()


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    gate: tuple[_Gate, ...] = ()


def read_gates(path: Path) -> Expected:
    """Read a gates file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not one; one line that names the file.
    """
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"{path}: more than {_LARGEST // 2**20} MiB")
    try:
        found = msgspec.toml.decode(content.removeprefix(b"\xef\xbb\xbf"), type=_File)
        return _expected(found)
    except ValueError as error:  # TOML's, msgspec's and ours alike
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None


def _expected(file: _File) -> Expected:
    gates: dict[GateAddress, frozenset[bytes]] = {}
    owners: dict[str, GateAddress] = {}
    for each in file.gate:
        address = GateAddress(each.site, each.gate)
        if set("/+#\0") & set(each.site + each.gate):
            raise ValueError(f"{address.name!r}: a name has none of / + #")
        if address in gates:
            raise ValueError(f"{address.name} stands there twice")
        for key in each.keys:
            if not KEY_TEXT.fullmatch(key):
                raise ValueError(
                    f"{address.name}: a key has 64 hexadecimal digits, in small letters"
                )
            if owners.setdefault(key, address) != address:
                raise ValueError(f"{address.name}: its key is that of {owners[key].name} too")
        gates[address] = frozenset(map(bytes.fromhex, each.keys))
    return gates
