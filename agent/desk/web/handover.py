"""Handing over: the form beside the person, the QR for the phone, and how far it is.

The QR and the transaction code are never on the screen together: who photographs the one has not
the other. The code is shown when the clerk asks for it, and the QR goes.
"""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from agent.credential.model import Kind, Level
from agent.desk.credentials import CredentialRow
from agent.desk.members import Member
from agent.desk.offers import Offer, OfferError, OfferState, Purpose
from agent.desk.web.call import BadRequest, Call
from agent.desk.web.qr import qr_svg

__all__ = ["EVIDENCE", "create", "form", "kill", "offer_page", "state"]

EVIDENCE = ("national-id", "passport", "residence-permit", "driving-licence", "known-to-staff")
"""Kinds of document that a clerk may have seen; never a number of one."""


def form(call: Call) -> Response:
    """Show what is to be handed over."""
    return _page(call, call.site.members.get(call.path["reference"]))


def create(call: Call) -> Response:
    """Make the offer and show its QR, this once."""
    member = call.site.members.get(call.path["reference"])
    try:
        kind, level = Kind(call.field("kind")), Level(int(call.field("level")))
        purpose = Purpose(call.field("purpose", Purpose.ISSUE))
    except ValueError:
        raise BadRequest("the form's kind, level or purpose is none") from None
    if purpose not in {Purpose.ISSUE, Purpose.RENEW}:
        raise BadRequest("this page issues and renews only")
    evidence = call.field("evidence")
    if evidence and evidence not in EVIDENCE:
        raise BadRequest("there is no such kind of document")
    if level is Level.UPGRADED and not evidence:
        return _page(call, member, wrong=call.site.texts.handover.evidence_needed, status=422)
    holder = call.field("holder")
    if holder and holder not in {row.holder for row in _rows(call, member)}:
        raise BadRequest("the member has no such phone")
    assert call.session is not None
    held = call.site.taken.modalities(call.session.digest, member.reference)
    if held and level is Level.BASIC:
        return _page(call, member, wrong=call.site.texts.handover.basic_without, status=422)
    references = call.site.taken.pop(call.session.digest, member.reference)
    try:
        offer = call.site.offers.create(
            member,
            purpose=purpose,
            kind=kind,
            level=level,
            references=references,
            evidence=evidence,
            holder=holder,
            who=call.who,
            transaction_code=True,
        )
    except OfferError as error:
        return _page(call, member, wrong=str(error), status=422)
    return offer_page(call, member, offer)


def offer_page(call: Call, member: Member, offer: Offer) -> Response:
    """Show an offer's QR, for the page that has just made it."""
    return call.page(
        "offer.html",
        member=member,
        offer=offer,
        wallet_qr=qr_svg(offer.wallet_link, call.site.texts.offer.qr_label),
        other_qr=qr_svg(offer.uri, call.site.texts.offer.qr_other_label),
        digits=" ".join((offer.transaction_code or "")[at : at + 3] for at in (0, 3)),
    )


def state(call: Call) -> Response:
    """Answer how far an offer is, for the page that waits."""
    try:
        found = call.site.offers.state(_number(call))
    except OfferError as error:
        raise BadRequest(str(error)) from None
    texts = call.site.texts.offer_states
    left = max(0, found.expires_at - call.site.desk.clock())
    # The phone says that it kept the card in a request of its own, a moment after it has it.
    unheard = found.state is OfferState.DONE and not found.acknowledged
    waiting = found.state in {OfferState.OPEN, OfferState.TAKEN} or (unheard and left > 0)
    return JSONResponse(
        {
            "state": str(found.state),
            "spent": found.state not in {OfferState.OPEN, OfferState.TAKEN},
            "over": not waiting,
            "good": found.state is OfferState.DONE,
            "line": texts.done_unheard if unheard else getattr(texts, str(found.state)),
            "left": left,
        }
    )


def kill(call: Call) -> Response:
    """End an open offer."""
    try:
        call.site.offers.kill(_number(call), who=call.who)
    except OfferError as error:
        raise BadRequest(str(error)) from None
    return call.to(f"/members/{call.field('reference')}" if call.field("reference") else "/members")


def _number(call: Call) -> int:
    text = call.path["offer"]
    if not text.isdecimal() or len(text) > 15:
        raise BadRequest("no such offer")
    return int(text)


def _rows(call: Call, member: Member) -> list[CredentialRow]:
    return call.site.credentials.of_member(member.reference)


def _page(call: Call, member: Member, *, wrong: str = "", status: int = 200) -> Response:
    assert call.session is not None
    held = call.site.taken.modalities(call.session.digest, member.reference)
    holder = call.query.get("holder", call.field("holder"))
    if holder not in {row.holder for row in _rows(call, member)}:
        holder = ""
    purpose = Purpose.RENEW if holder else Purpose.ISSUE
    return call.page(
        "handover.html",
        status=status,
        member=member,
        wrong=wrong,
        kinds=call.site.desk.settings.issuer.kinds,
        evidence=EVIDENCE,
        chosen=call.field("evidence"),
        level=int(call.field("level", str(member.person.level)) or 1),
        face_held="face" in held,
        finger_held="finger" in held,
        has_module=call.site.fingers.there,
        purpose=purpose,
        holder=holder,
    )
