"""Every reason the agent gives, in one closed enumeration.

A decision carries exactly one reason. The person at the gate sees a colour and hears a sound;
the reason goes to the event, the log and the operator. README's table is held against this one
by a test, so a reason without a description cannot exist.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["DESCRIPTIONS", "Reason"]


class Reason(StrEnum):
    """Why a person passed or did not; the member's value is the wire form."""

    GRANTED = "granted"

    # The code itself
    UNKNOWN_FORMAT = "unknown_format"
    FORMAT_NOT_ACCEPTED = "format_not_accepted"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNSIGNED = "unsigned"
    ALGORITHM_MISMATCH = "algorithm_mismatch"
    UNKNOWN_CRITICAL_HEADER = "unknown_critical_header"
    DECRYPTION_FAILED = "decryption_failed"
    UNKNOWN_ISSUER = "unknown_issuer"
    ISSUER_KEY_EXPIRED = "issuer_key_expired"
    ISSUER_NOT_ENTITLED = "issuer_not_entitled"
    BAD_SIGNATURE = "bad_signature"
    BAD_HOLDER_SIGNATURE = "bad_holder_signature"

    # Time and use
    MISSING_CLAIM = "missing_claim"
    UNKNOWN_CLAIM = "unknown_claim"
    BAD_TIME = "bad_time"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    STALE = "stale"
    ISSUED_IN_FUTURE = "issued_in_future"
    REPLAYED = "replayed"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_CHALLENGE = "wrong_challenge"
    CLOCK_UNTRUSTED = "clock_untrusted"

    # Trust data
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    STATUS_UNKNOWN = "status_unknown"
    TRUST_TOO_OLD = "trust_too_old"
    BLOCKED = "blocked"
    NOT_ON_ROSTER = "not_on_roster"

    # Policy of the place
    KIND_NOT_ACCEPTED = "kind_not_accepted"
    LEVEL_TOO_LOW = "level_too_low"
    STATIC_NOT_ACCEPTED = "static_not_accepted"
    REGION_NOT_ACCEPTED = "region_not_accepted"
    UNDER_AGE = "under_age"
    AGE_UNKNOWN = "age_unknown"
    CLAIM_NOT_DISCLOSED = "claim_not_disclosed"
    CLOSED_NOW = "closed_now"
    WRONG_DIRECTION = "wrong_direction"
    ALREADY_INSIDE = "already_inside"
    TICKET_REQUIRED = "ticket_required"
    TICKET_INVALID = "ticket_invalid"
    TICKET_NOT_ACCEPTED = "ticket_not_accepted"

    # The person
    NO_REFERENCE = "no_reference"
    REFERENCE_INVALID = "reference_invalid"
    TEMPLATE_INCOMPATIBLE = "template_incompatible"
    FACE_MISMATCH = "face_mismatch"
    FACE_NOT_FOUND = "face_not_found"
    FACE_QUALITY = "face_quality"
    FACE_CHANGED = "face_changed"
    SEVERAL_FACES = "several_faces"
    SPOOF_SUSPECTED = "spoof_suspected"
    FINGER_MISMATCH = "finger_mismatch"
    FINGER_TIMEOUT = "finger_timeout"
    FINGER_QUALITY = "finger_quality"
    LOCKED_OUT = "locked_out"
    SEVERAL_CODES = "several_codes"
    CODE_CHANGED = "code_changed"
    PERSON_LEFT = "person_left"

    # The gate
    NO_PASSAGE = "no_passage"
    GATE_BUSY = "gate_busy"
    GATE_LOCKED = "gate_locked"
    MAINTENANCE = "maintenance"
    FIRE = "fire"
    FREE_PASSAGE = "free_passage"
    MANUAL_RELEASE = "manual_release"
    COMMAND = "command"
    SENSOR_FAULT = "sensor_fault"
    CAMERA_FAULT = "camera_fault"
    JOURNAL_FAILED = "journal_failed"
    JOURNAL_FULL = "journal_full"
    INTERNAL_ERROR = "internal_error"


DESCRIPTIONS: dict[Reason, str] = {
    Reason.GRANTED: "Everything that the place asks for was proven.",
    Reason.UNKNOWN_FORMAT: "The code is none of the formats the agent reads.",
    Reason.FORMAT_NOT_ACCEPTED: "The format is switched off in this site profile.",
    Reason.MALFORMED: "The code looks like one of the formats but breaks its rules.",
    Reason.TOO_LARGE: "The code, or what it unpacks to, is over the limit.",
    Reason.UNSIGNED: "The code carries no signature.",
    Reason.ALGORITHM_MISMATCH: "The algorithm is missing, unprotected, or not the key's own.",
    Reason.UNKNOWN_CRITICAL_HEADER: "A header marked critical is not understood.",
    Reason.DECRYPTION_FAILED: "The code is encrypted and no site key opens it.",
    Reason.UNKNOWN_ISSUER: "No trusted key belongs to the issuer that the code names.",
    Reason.ISSUER_KEY_EXPIRED: "The issuer's key is outside its validity.",
    Reason.ISSUER_NOT_ENTITLED: "The issuer is trusted, but not for this kind of document.",
    Reason.BAD_SIGNATURE: "The issuer's signature does not verify.",
    Reason.BAD_HOLDER_SIGNATURE: "The phone's signature does not verify with the holder key.",
    Reason.MISSING_CLAIM: "A claim that the format or the place requires is absent.",
    Reason.UNKNOWN_CLAIM: "The credential makes a claim that its format does not know.",
    Reason.BAD_TIME: "A time is not a plain number, or times contradict each other.",
    Reason.NOT_YET_VALID: "The credential's validity has not begun.",
    Reason.EXPIRED: "The credential's validity is over.",
    Reason.STALE: "The dynamic code is older than the time allowed.",
    Reason.ISSUED_IN_FUTURE: "The code was made later than now.",
    Reason.REPLAYED: "This very code was used before.",
    Reason.WRONG_AUDIENCE: "The code was made for another gate or site.",
    Reason.WRONG_CHALLENGE: "The code does not answer the gate's challenge.",
    Reason.CLOCK_UNTRUSTED: "The gate's clock went backwards or was never set.",
    Reason.REVOKED: "The issuer withdrew the credential.",
    Reason.SUSPENDED: "The issuer suspended the credential.",
    Reason.STATUS_UNKNOWN: "The status list is missing, unreadable, too old or does not cover it.",
    Reason.TRUST_TOO_OLD: "The gate's trust data is older than the policy allows.",
    Reason.BLOCKED: "The subject is on a blocked list.",
    Reason.NOT_ON_ROSTER: "The place asks for a roster and the subject is not on it.",
    Reason.KIND_NOT_ACCEPTED: "This kind of document is not accepted here.",
    Reason.LEVEL_TOO_LOW: "The assurance level is below what the place asks.",
    Reason.STATIC_NOT_ACCEPTED: "The place asks for a dynamic code.",
    Reason.REGION_NOT_ACCEPTED: "The credential is not valid in the gate's region.",
    Reason.UNDER_AGE: "The person is younger than the place allows.",
    Reason.AGE_UNKNOWN: "The place asks for an age, and the birth date does not prove it.",
    Reason.CLAIM_NOT_DISCLOSED: "The place needs a claim that the holder did not disclose.",
    Reason.CLOSED_NOW: "Outside opening hours.",
    Reason.WRONG_DIRECTION: "The gate does not open in this direction for this credential.",
    Reason.ALREADY_INSIDE: "Anti-passback: the subject has entered and not left.",
    Reason.TICKET_REQUIRED: "The place asks for a ticket or reservation beside the identity.",
    Reason.TICKET_INVALID: "The ticket or reservation does not verify, does not fit or is used.",
    Reason.TICKET_NOT_ACCEPTED: "The ticket is for another product or date than this gate's.",
    Reason.NO_REFERENCE: "A biometric is asked and the credential carries no reference for it.",
    Reason.REFERENCE_INVALID: "The reference picture or template cannot be used.",
    Reason.TEMPLATE_INCOMPATIBLE: "The template was made by another model or sensor family.",
    Reason.FACE_MISMATCH: "The face is not the credential's.",
    Reason.FACE_NOT_FOUND: "No face was seen in time.",
    Reason.FACE_QUALITY: "No face of sufficient quality was seen in time.",
    Reason.FACE_CHANGED: "Another face came into view during the check.",
    Reason.SEVERAL_FACES: "Two near faces, and which one presents is not clear.",
    Reason.SPOOF_SUSPECTED: "What was seen looks like a picture of a face.",
    Reason.FINGER_MISMATCH: "The finger is not the credential's.",
    Reason.FINGER_TIMEOUT: "No finger was laid on the sensor in time.",
    Reason.FINGER_QUALITY: "The finger was too wet, dry or partial to be read.",
    Reason.LOCKED_OUT: "Too many biometric failures, or openings that nobody used; wait.",
    Reason.SEVERAL_CODES: "Two different valid codes are in view.",
    Reason.CODE_CHANGED: "The code was exchanged during the check.",
    Reason.PERSON_LEFT: "The person left before the check was over.",
    Reason.NO_PASSAGE: "The gate opened and nobody was seen to pass.",
    Reason.GATE_BUSY: "Another passage is in progress.",
    Reason.GATE_LOCKED: "The gate is in locked mode.",
    Reason.MAINTENANCE: "The gate is in maintenance mode.",
    Reason.FIRE: "Fire alarm: the gate is open and nobody is checked.",
    Reason.FREE_PASSAGE: "The gate is in free-passage mode.",
    Reason.MANUAL_RELEASE: "Staff pressed the release button.",
    Reason.COMMAND: "A signed command of the fleet.",
    Reason.SENSOR_FAULT: "The fingerprint module or the passage sensor cannot be believed.",
    Reason.CAMERA_FAULT: "The camera failed.",
    Reason.JOURNAL_FAILED: "The journal could not be written; nothing opens unrecorded.",
    Reason.JOURNAL_FULL: "The journal is full of unacknowledged events.",
    Reason.INTERNAL_ERROR: "A fault in the agent; the log has it.",
}
