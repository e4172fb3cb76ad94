"""The desk's tables.

Rules:
- nothing personal is readable: `sealed` columns open with the site key only (`agent.desk.seal`),
  `*_digest` columns are keyed hashes, also of what its bearer may do something with: codes,
  tokens, sessions;
- no picture and no copy of a document is ever stored; a template only sealed with the code that the
  phone holds, until it is handed over or the offer is over;
- times are Unix seconds, of 64 bits also on PostgreSQL; columns are only added.
"""

from __future__ import annotations

import sqlalchemy as sa

__all__ = [
    "access",
    "audit",
    "audit_head",
    "credentials",
    "deliveries",
    "gates",
    "invitations",
    "members",
    "metadata",
    "nonces",
    "offers",
    "passkeys",
    "sessions",
    "staff",
    "staff_invitations",
    "status_lists",
]

metadata = sa.MetaData()

staff = sa.Table(
    "staff",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),  # a work name, in the journal
    sa.Column("roles", sa.String(64), nullable=False),  # clerk, issuer, auditor, with spaces
    sa.Column("handle", sa.LargeBinary(32), nullable=False, unique=True),  # WebAuthn user handle
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
)
staff_invitations = sa.Table(
    "staff_invitation",
    metadata,
    sa.Column("code_digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("staff", sa.Integer, sa.ForeignKey("staff.id"), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
passkeys = sa.Table(
    "passkey",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("staff", sa.Integer, sa.ForeignKey("staff.id"), nullable=False),
    sa.Column("credential_id", sa.LargeBinary(1023), nullable=False, unique=True),
    sa.Column("data", sa.LargeBinary, nullable=False),  # attested credential data
    sa.Column("sign_count", sa.BigInteger, nullable=False, default=0),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
sessions = sa.Table(
    "session",
    metadata,
    sa.Column("id_digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("staff", sa.Integer, sa.ForeignKey("staff.id"), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
)
members = sa.Table(
    "member",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    # `sub` of the credentials: random, opaque.
    sa.Column("reference", sa.String(32), nullable=False, unique=True),
    sa.Column("number_digest", sa.LargeBinary(32), unique=True),  # the place's own member number
    sa.Column("sealed", sa.LargeBinary, nullable=False),  # name, e-mail, birth date, number
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("level", sa.Integer, nullable=False, default=1),
    sa.Column("valid_until", sa.BigInteger, nullable=False),
    sa.Column("regions", sa.String(512), nullable=False, default=""),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),  # erased or left; its credentials stay withdrawn
)
status_lists = sa.Table(
    "status_list",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uri", sa.String(512), nullable=False, unique=True),
    sa.Column("size", sa.Integer, nullable=False),
)
credentials = sa.Table(
    "credential",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("cti", sa.String(32), nullable=False, unique=True),  # hexadecimal
    sa.Column("member", sa.Integer, sa.ForeignKey("member.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("form", sa.String(8), nullable=False),  # phone, card
    sa.Column("holder", sa.String(64), nullable=False, default=""),  # JWK thumbprint, hexadecimal
    sa.Column("issued_at", sa.BigInteger, nullable=False),
    sa.Column("valid_until", sa.BigInteger, nullable=False),
    sa.Column("status_list", sa.Integer, sa.ForeignKey("status_list.number"), nullable=False),
    sa.Column("status_index", sa.Integer, nullable=False),  # random
    sa.Column("status", sa.Integer, nullable=False, default=0),  # 0 valid, 1 revoked, 2 suspended
    sa.Column("evidence", sa.String(64), nullable=False, default=""),  # kind of document seen
    sa.Column("issued_by", sa.String(64), nullable=False),  # staff's work name, or self
    sa.Column("delivery", sa.Integer, sa.ForeignKey("delivery.id"), index=True),  # to a phone
    sa.UniqueConstraint("status_list", "status_index"),
)
offers = sa.Table(
    "offer",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("code_digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("member", sa.Integer, sa.ForeignKey("member.id"), nullable=False),
    sa.Column("purpose", sa.String(16), nullable=False),  # issue, upgrade, renew, self
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("evidence", sa.String(64), nullable=False, default=""),
    sa.Column("issued_by", sa.String(64), nullable=False),
    sa.Column("holder", sa.String(64), nullable=False, default=""),  # the key it must be bound to
    sa.Column("transaction_digest", sa.LargeBinary(32)),  # keyed with the code; null: none asked
    sa.Column("tries", sa.Integer, nullable=False, default=0),  # wrong transaction codes
    sa.Column("state", sa.String(8), nullable=False, default="open"),  # see `agent.desk.offers`
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary),  # biometric references, sealed with the code
)
deliveries = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    # The `notification_id`, for which the phone says what became of the credentials.
    sa.Column("notification_digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("token_digest", sa.LargeBinary(32), nullable=False),  # they were fetched with
    sa.Column("offer", sa.Integer, sa.ForeignKey("offer.id"), nullable=False, index=True),
    sa.Column("event", sa.String(24), nullable=False, default=""),  # OpenID4VCI's; empty: silence
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("settles_at", sa.BigInteger),  # when silence counts as accepted; null: it is settled
)
access = sa.Table(
    "access",
    metadata,
    sa.Column("token_digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("use", sa.String(8), nullable=False),  # access, refresh
    sa.Column("offer", sa.Integer, sa.ForeignKey("offer.id"), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary),  # the references, sealed with the token
)
nonces = sa.Table(
    "nonce",
    metadata,
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),  # used ones, until they expire
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
invitations = sa.Table(
    "invitation",
    metadata,
    sa.Column("code_digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("member", sa.Integer, sa.ForeignKey("member.id")),  # null: for whoever has the code
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("uses_left", sa.Integer, nullable=False),
    sa.Column("invited_by", sa.String(64), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
gates = sa.Table(
    "gate",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("code_digest", sa.LargeBinary(32), unique=True),  # to join with; null when joined
    sa.Column("expires_at", sa.BigInteger, nullable=False, default=0),
    sa.Column("joined_at", sa.BigInteger),
    sa.Column("settings", sa.Text, nullable=False, default=""),  # TOML for the gate
)
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("reference", sa.String(64), nullable=False, default=""),
    sa.Column("detail", sa.String(200), nullable=False, default=""),
    sa.Column("chain", sa.LargeBinary(32), nullable=False),  # HMAC over the one before and this row
)
audit_head = sa.Table(
    "audit_head",  # one row: where the journal ends, so that rows at its end are missed
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("chain", sa.LargeBinary(32), nullable=False),
    sa.Column("seal", sa.LargeBinary(32), nullable=False),  # HMAC over both
)
