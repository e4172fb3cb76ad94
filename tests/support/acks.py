"""Acknowledgements as a collector seals them."""

from __future__ import annotations

from agent.report.payloads import Ack, encode
from agent.report.seals import SealKey, ack_text
from agent.report.topics import GateAddress


def sealed_ack(key: SealKey, gate: GateAddress, boot_id: str, seq: int) -> bytes:
    """Return the payload of `ack`."""
    seal = key.seal(ack_text(gate, boot_id, seq))
    return encode(Ack(boot_id=boot_id, seq=seq, key=key.public.hex(), sig=seal.hex()))
