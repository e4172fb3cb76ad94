"""Taking a face or a finger: what the page's script asks while the person sits there.

Rules: nothing is taken before the person's explicit consent, which is journaled with it; a picture
is answered with words and numbers and is gone; the template waits in memory (`agent.desk.taken`).
"""

from __future__ import annotations

import base64
from typing import Final

from starlette.responses import JSONResponse, Response

from agent.credential.model import BiometricReference, Modality
from agent.desk.audit import Action
from agent.desk.faces import FaceError
from agent.desk.fingers import FingerState, FingerStep
from agent.desk.scanning import ScanningError
from agent.desk.web.call import BadRequest, Call

__all__ = ["FACE_BYTES", "PICTURE_BYTES", "drop", "finger", "finger_step", "look", "scan", "take"]

PICTURE_BYTES: Final = 64 << 10
FACE_BYTES: Final = 4 * PICTURE_BYTES * 4 // 3 + 4096
_CONSENT: Final = "consent given"


def look(call: Call) -> Response:
    """Judge the picture that is the body, and keep nothing."""
    try:
        found = call.site.faces.look(call.body)
    except FaceError as error:
        raise BadRequest(str(error)) from None
    line = call.site.texts.face_problems
    return JSONResponse(
        {
            "good": found.good,
            "line": line.good if found.good else getattr(line, found.problem or "picture"),
            "eyes": round(found.values.get("eye_distance_px", 0.0)),
        }
    )


def take(call: Call) -> Response:
    """Make the template of the pictures, for a member who has agreed."""
    member = call.site.members.get(call.path["reference"])
    sent = call.json()
    if sent.get("consent") is not True:
        raise BadRequest(call.site.texts.capture.consent_first)
    pictures = sent.get("pictures")
    if not isinstance(pictures, list) or not all(isinstance(one, str) for one in pictures):
        raise BadRequest("pictures are needed")
    try:
        found = [base64.b64decode(one, validate=True) for one in pictures]
    except ValueError:
        raise BadRequest("pictures are needed, in base64") from None
    try:
        template = call.site.faces.take(found)
    except FaceError as error:
        raise BadRequest(str(error)) from None
    _keep(call, member.reference, template)
    return JSONResponse({"line": call.site.texts.capture.face_taken})


def drop(call: Call) -> Response:
    """Forget what was taken for a member."""
    assert call.session is not None
    call.site.taken.pop(call.session.digest, call.path["reference"])
    return call.to(f"/members/{call.path['reference']}/handover")


def finger(call: Call) -> Response:
    """Begin at the module, for a member who has agreed."""
    member = call.site.members.get(call.path["reference"])
    sent = call.json()
    if sent.get("consent") is not True:
        raise BadRequest(call.site.texts.capture.consent_first)
    position = sent.get("position")
    if type(position) is not int:
        raise BadRequest("which finger?")
    assert call.session is not None
    return _told(
        call.site.fingers.begin(
            (call.session.digest, member.reference),
            position,
            lambda template: _keep(call, member.reference, template),
        )
    )


def finger_step(call: Call) -> Response:
    """Answer how far the finger is."""
    assert call.session is not None
    whose = call.session.digest, call.path["reference"]
    return _told(call.site.fingers.step(whose))


def scan(call: Call) -> Response:
    """Answer the codes in the picture that is the body."""
    try:
        return JSONResponse({"codes": call.site.codes.read(call.body)})
    except ScanningError as error:
        raise BadRequest(str(error)) from None


def _keep(call: Call, reference: str, template: BiometricReference) -> None:
    assert call.session is not None
    call.site.taken.put(call.session.digest, reference, template)
    face = template.modality is Modality.FACE
    desk = call.site.desk
    with desk.store.write() as connection:
        desk.journal.write(
            connection, at=desk.clock(), who=call.who, reference=reference, detail=_CONSENT,
            action=Action.FACE_TAKEN if face else Action.FINGER_TAKEN,
        )  # fmt: skip


def _told(step: FingerStep) -> Response:
    over = step.state is not FingerState.WAITING
    return JSONResponse({"over": over, "good": step.state is FingerState.DONE, "line": step.line})
