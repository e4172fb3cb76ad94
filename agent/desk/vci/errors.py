"""Errors as OpenID4VCI 1.0, RFC 6749 and RFC 6750 name them, with words that help.

Rules: `error` is the standard's own code; `error_description` says in one line of ASCII what to do
about it and quotes nothing that was sent; `idgate_reason` tells apart what the standard's code
throws together (a wrong transaction code, a used, expired or locked offer).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

__all__ = ["ErrorCode", "VciError"]


class ErrorCode(StrEnum):
    """The codes, by where they come from."""

    # RFC 6749 section 5.2, token endpoint
    INVALID_REQUEST = "invalid_request"
    INVALID_GRANT = "invalid_grant"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    # RFC 6750 section 3.1, access token
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a code of RFC 6750
    # OpenID4VCI 1.0 section 8.3.1.2, credential endpoint
    INVALID_CREDENTIAL_REQUEST = "invalid_credential_request"
    UNKNOWN_CREDENTIAL_CONFIGURATION = "unknown_credential_configuration"
    UNKNOWN_CREDENTIAL_IDENTIFIER = "unknown_credential_identifier"
    INVALID_PROOF = "invalid_proof"
    INVALID_NONCE = "invalid_nonce"
    INVALID_ENCRYPTION_PARAMETERS = "invalid_encryption_parameters"
    CREDENTIAL_REQUEST_DENIED = "credential_request_denied"
    # section 11.3, notification endpoint
    INVALID_NOTIFICATION_ID = "invalid_notification_id"
    INVALID_NOTIFICATION_REQUEST = "invalid_notification_request"
    # our own: offers and invitations, and what any endpoint may answer
    INVALID_OFFER = "invalid_offer"
    INVALID_INVITATION = "invalid_invitation"
    SLOW_DOWN = "slow_down"
    NOT_FOUND = "not_found"
    SERVER_ERROR = "server_error"


class VciError(Exception):
    """A request that is answered by an error.

    Args:
        code: the standard's.
        description: one line of ASCII for whoever debugs a wallet; nothing that was sent.
        status: of HTTP.
        more: further members of the answer.
    """

    def __init__(
        self, code: ErrorCode, description: str, *, status: int = 400, **more: Any
    ) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status
        self.more: Mapping[str, Any] = more

    def body(self) -> dict[str, Any]:
        """Return the answer's JSON object."""
        return {"error": str(self.code), "error_description": self.description, **self.more}
