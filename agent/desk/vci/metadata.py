"""What the issuer says of itself to wallets that never saw it.

Rules: one configuration a kind, named by the kind; the format is ours and says so (`sd-cwt`, the
media type of the native profile's credentials); texts in the place's languages.

Standard: OpenID4VCI 1.0 section 12.2; RFC 8414 for the authorization server's part.
"""

from __future__ import annotations

from typing import Any, Final

from agent.credential.issuers import Algorithm
from agent.credential.model import Kind
from agent.credential.numbers import VCT_PREFIX, Alg
from agent.desk.desk import Desk
from agent.desk.vci.credential import batch_size
from agent.desk.vci.proofs import ALGORITHM_NAMES
from agent.desk.vci.token import PRE_AUTHORIZED

__all__ = ["FORMAT", "authorization_server_metadata", "issuer_metadata", "kind_name"]

FORMAT: Final = "sd-cwt"
_COSE: Final = {
    Algorithm.ES256: Alg.ES256,
    Algorithm.ES384: Alg.ES384,
    Algorithm.EDDSA: Alg.EDDSA,
    Algorithm.PS256: Alg.PS256,
    Algorithm.SM2: Alg.SM2_SM3,
}
_NAMES: Final = {
    Kind.ONLINE_ID: ("Online identity", "Identidad en línea", "网络身份"),
    Kind.DRIVING_LICENCE: ("Driving licence", "Permiso de conducir", "驾驶证"),
    Kind.SOCIAL_SECURITY_CARD: (
        "Social security card", "Tarjeta de la seguridad social", "社会保障卡",
    ),
    Kind.RESIDENCE_PERMIT: ("Residence permit", "Permiso de residencia", "居住证"),
    Kind.BUSINESS_LICENCE: ("Business licence", "Licencia comercial", "营业执照"),
    Kind.PASSPORT: ("Passport", "Pasaporte", "护照"),
    Kind.HK_MACAU_PERMIT: (
        "Hong Kong and Macau permit", "Permiso para Hong Kong y Macao", "港澳通行证",
    ),
    Kind.RAIL_TICKET: ("Rail ticket", "Billete de tren", "火车票"),
    Kind.LIBRARY_CARD: ("Library card", "Carné de biblioteca", "借书证"),
    Kind.EVENT_TICKET: ("Event ticket", "Entrada", "活动门票"),
    Kind.TRANSIT_CODE: ("Transit code", "Código de transporte", "乘车码"),
    Kind.HEALTH_CERTIFICATE: ("Health certificate", "Certificado sanitario", "健康证明"),
    Kind.NATIONAL_ID: ("National identity card", "Documento de identidad", "身份证"),
}  # fmt: skip
_LANGUAGES: Final = ("en", "es", "zh")
_WHITE: Final = "#ffffff"


def kind_name(kind: Kind, language: str) -> str:
    """Return what people call a kind of document in en, es or zh."""
    names = _NAMES.get(kind)
    return str(kind) if names is None else names[_LANGUAGES.index(language)]


def issuer_metadata(desk: Desk) -> dict[str, Any]:
    """Return the JSON of `/.well-known/openid-credential-issuer`."""
    settings = desk.settings
    base, place = settings.web.issuer, settings.place
    return {
        "credential_issuer": base,
        "credential_endpoint": f"{base}/credential",
        "nonce_endpoint": f"{base}/nonce",
        "notification_endpoint": f"{base}/notification",
        "batch_credential_issuance": {"batch_size": batch_size(desk)},
        "display": [{"name": place.name, "locale": language} for language in place.languages],
        "credential_configurations_supported": {
            str(kind): _configuration(desk, kind) for kind in settings.issuer.kinds
        },
    }


def authorization_server_metadata(desk: Desk) -> dict[str, Any]:
    """Return the JSON of `/.well-known/oauth-authorization-server`."""
    base = desk.settings.web.issuer
    return {
        "issuer": base,
        "token_endpoint": f"{base}/token",
        "grant_types_supported": [PRE_AUTHORIZED, "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "pre-authorized_grant_anonymous_access_supported": True,
    }


def _configuration(desk: Desk, kind: Kind) -> dict[str, Any]:
    place = desk.settings.place
    return {
        "format": FORMAT,
        "vct": VCT_PREFIX + kind,
        "credential_signing_alg_values_supported": [int(_COSE[desk.issuer.key.algorithm])],
        "cryptographic_binding_methods_supported": ["cose_key", "jwk"],
        "proof_types_supported": {
            "jwt": {"proof_signing_alg_values_supported": list(ALGORITHM_NAMES)}
        },
        "credential_metadata": {
            "display": [
                {
                    "name": kind_name(kind, language),
                    "locale": language,
                    "description": place.name,
                    "background_color": place.colour,
                    "text_color": _WHITE,
                }
                for language in place.languages
            ]
        },
    }
