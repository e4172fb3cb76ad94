"""QR codes of links, as SVG within a page."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

__all__ = ["qr_svg"]


def qr_svg(text: str, label: str) -> Markup:
    """Return the code of a link for a screen: level L, black on white, its quiet zone included.

    Args:
        text: the link; it becomes modules, never markup.
        label: what a screen reader says.
    """
    import segno

    code: Any = segno.make_qr(text, error="l", boost_error=False)
    drawing = code.svg_inline(border=4, light="#ffffff", omitsize=True, svgclass="qr")
    # `drawing` is numbers and segno's own words; the label is escaped.
    opening = Markup('<svg role="img" aria-label="{}" ').format(label)
    return opening + Markup(drawing.removeprefix("<svg "))  # noqa: S704
