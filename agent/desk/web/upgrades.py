"""The upgrade in person: a phone's code is scanned, a document seen, the new card handed over."""

from __future__ import annotations

from starlette.responses import Response

from agent.desk.upgrading import UpgradeError
from agent.desk.web.call import BadRequest, Call
from agent.desk.web.handover import EVIDENCE, offer_page
from agent.desk.web.qr import qr_svg

__all__ = ["offer", "read", "scan_form"]


def scan_form(call: Call) -> Response:
    """Show the webcam, and the desk's own challenge for phones to scan first."""
    return _scan_page(call)


def read(call: Call) -> Response:
    """Read the phone's code; show whose card it is and what is needed."""
    assert call.session is not None
    site = call.site
    challenge = site.challenges.pop(call.session.digest)
    try:
        presented = site.upgrades.read_presentation(
            call.field("code"), challenge=challenge if call.field("challenged") == "yes" else None
        )
    except UpgradeError as error:
        return _scan_page(call, wrong=str(error), status=422)
    site.presented.put(call.session.digest, presented)
    return call.to("/upgrade/card")


def offer(call: Call) -> Response:
    """Show the card that was read, or make the offer bound to its key."""
    assert call.session is not None
    site = call.site
    presented = site.presented.get(call.session.digest)
    if presented is None:
        return call.to("/upgrade")
    member = presented.member
    held = site.taken.modalities(call.session.digest, member.reference)
    wrong = ""
    if call.method == "POST":
        evidence = call.field("evidence")
        if evidence not in EVIDENCE:
            wrong = site.texts.handover.evidence_needed
        else:
            references = site.taken.pop(call.session.digest, member.reference)
            try:
                made = site.upgrades.offer(
                    presented, who=call.who, evidence=evidence, references=references
                )
            except UpgradeError as error:
                raise BadRequest(str(error)) from None
            site.presented.pop(call.session.digest)
            return offer_page(call, member, made)
    return call.page(
        "upgrade_card.html", status=422 if wrong else 200, member=member, presented=presented,
        evidence=EVIDENCE, chosen=call.field("evidence"), wrong=wrong, face_held="face" in held,
        finger_held="finger" in held, has_module=site.fingers.there,
    )  # fmt: skip


def _scan_page(call: Call, *, wrong: str = "", status: int = 200) -> Response:
    assert call.session is not None
    challenge = call.site.upgrades.challenge()
    call.site.challenges.put(call.session.digest, challenge.nonce)
    drawn = qr_svg(challenge.link, call.site.texts.upgrade.challenge_label)
    return call.page("upgrade.html", status=status, wrong=wrong, challenge=drawn)
