"""Whether a payload is what a photograph's code says: the manifest has texts, a code has bytes."""

from __future__ import annotations

__all__ = ["right", "wrong"]

SECOND_CODE = "[内側QRコード]"
"""One photograph shows a code within a code; the manifest names the outer one."""
SLIP = ("photograph of", "photography of")
"""One text of the manifest lacks a letter that its code has (qrcode-2/13), beyond what a decoder can make up: its length
differs, and the checksum holds."""


def right(data: bytes, expected: str) -> bool:
    """Compare texts: the manifest has neither the codes' line ends nor their character sets."""
    for encoding in ("utf-8", "shift_jis", "cp932", "gb18030", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _plain(text) in {_plain(expected), _plain(expected).replace(*SLIP)}:
            return True
    return False


def wrong(data: bytes, texts: tuple[str, ...]) -> bool:
    """Return whether a payload is no code of the picture's."""
    second = data.decode("shift_jis", "replace").startswith(SECOND_CODE)
    return not second and not any(right(data, text) for text in texts)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()
