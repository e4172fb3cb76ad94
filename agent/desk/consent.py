# ruff: noqa: RUF001 - Chinese has punctuation of its own
"""What a person who makes a card at home is told and agrees to; each wording has its version.

Rules: whoever changes a word changes the version, since the journal says which one was agreed to;
what is said is what happens (`docs/openid4vci.md`, `agent.desk.tables`).
"""

from __future__ import annotations

from typing import Final

__all__ = ["CONSENT_VERSION", "consent_text"]

CONSENT_VERSION: Final = "1"

_ALWAYS: Final = {
    "en": (
        "{place} makes a card for this phone out of what you enter here. It keeps what you enter, "
        "sealed, and your card's number, validity and state, until your membership has been over "
        "for {days} days. Gates learn the number of your card, not your name. At the desk you can "
        "see what is kept, have it corrected, and have it erased at any time."
    ),
    "es": (
        "{place} crea un carné para este teléfono con lo que escriba aquí. Guarda lo que escriba, "
        "cifrado, y el número, la validez y el estado de su carné, hasta {days} días después de "
        "que termine su inscripción. Las puertas conocen el número de su carné, no su nombre. En "
        "el mostrador puede ver lo que se guarda, hacer que se corrija y pedir que se borre en "
        "cualquier momento."
    ),
    "zh": (
        "{place}会用您在此填写的内容为这部手机制作一张卡。您填写的内容会加密保存，连同卡的编号、"
        "有效期和状态，直到您的会员资格结束后{days}天。闸机只知道卡的编号，不知道您的姓名。"
        "您可以随时在服务台查看、更正或要求删除所保存的内容。"
    ),
}
_FACE: Final = {
    "en": (
        " If you agree to your face as well: your pictures become 128 numbers that describe it. "
        "They go onto the card on your phone and nowhere else; pictures are dropped at once, the "
        "numbers as soon as your phone has them, or after {minutes} minutes. A gate compares them "
        "with who stands before it and keeps nothing."
    ),
    "es": (
        " Si acepta también su cara: sus fotos se convierten en 128 números que la describen. Van "
        "al carné de su teléfono y a ningún otro sitio; las fotos se descartan en el acto, los "
        "números en cuanto su teléfono los tenga, o tras {minutes} minutos. La puerta los compara "
        "con quien está delante y no guarda nada."
    ),
    "zh": (
        "如果您也同意使用面部：您的照片会变成描述面部的128个数字，只存放在您手机的卡上，"
        "不存放在别处；照片立即丢弃，数字在您的手机收到后删除，最迟{minutes}分钟后删除。"
        "闸机把它与面前的人比对，不保留任何内容。"
    ),
}
_OPTIONAL: Final = {
    "en": " Without your face you get the same card, and show it to a person instead.",
    "es": " Sin su cara recibe el mismo carné y lo enseña a una persona.",
    "zh": "不使用面部也能得到同样的卡，届时向工作人员出示即可。",
}


def consent_text(language: str, *, place: str, keep_days: int, offer_s: int, face: str) -> str:
    """Return what is told in a language (en, es, zh).

    Args:
        language: en, es or zh.
        place: its name.
        keep_days: days after the end of a membership.
        offer_s: how long a template may wait for the phone, seconds.
        face: `none`, `optional` or `required`.
    """
    text = _ALWAYS[language]
    if face != "none":
        text += _FACE[language]
    if face == "optional":
        text += _OPTIONAL[language]
    return text.format(place=place, days=keep_days, minutes=-(-offer_s // 60))
