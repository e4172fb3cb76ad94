"""A wallet that takes one card: python wallet.py OFFER [TRANSACTION_CODE]; `docs/openid4vci.md`.

Needs `cryptography`. Writes the holder's key to holder.pem and the credential to card.cwt.
"""

import base64
import json
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def ask(url, data=None, json_data=None, token=None):
    headers = {}
    if json_data is not None:
        data, headers["Content-Type"] = json.dumps(json_data).encode(), "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with urlopen(Request(url, data=data, headers=headers)) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def well_known(issuer, name):
    parts = urlsplit(issuer)  # inserted between host and path
    return ask(f"{parts.scheme}://{parts.netloc}/.well-known/{name}{parts.path}")


link = urlsplit(sys.argv[1])
offer = ask(parse_qs(link.query or link.fragment)["credential_offer_uri"][0])
issuer = offer["credential_issuer"]
((code_type, grant),) = offer["grants"].items()
metadata = well_known(issuer, "openid-credential-issuer")
server = well_known(issuer, "oauth-authorization-server")
assert metadata["credential_issuer"] == issuer

form = {"grant_type": code_type, "pre-authorized_code": grant["pre-authorized_code"]}
if "tx_code" in grant:
    form["tx_code"] = sys.argv[2]
token = ask(server["token_endpoint"], urlencode(form).encode())["access_token"]
nonce = ask(metadata["nonce_endpoint"], b"")["c_nonce"]

key = ec.generate_private_key(ec.SECP256R1())
point = key.public_key().public_numbers()
x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
jwk = {"kty": "EC", "crv": "P-256", "x": b64url(x), "y": b64url(y)}
header = {"typ": "openid4vci-proof+jwt", "alg": "ES256", "jwk": jwk}
claims = {"aud": issuer, "iat": int(time.time()), "nonce": nonce}
proof = ".".join(b64url(json.dumps(part).encode()) for part in (header, claims))
r, s = utils.decode_dss_signature(key.sign(proof.encode(), ec.ECDSA(hashes.SHA256())))
proof += "." + b64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

(kind,) = offer["credential_configuration_ids"]
wanted = {"credential_configuration_id": kind, "proofs": {"jwt": [proof]}}
got = ask(metadata["credential_endpoint"], json_data=wanted, token=token)
text = got["credentials"][0]["credential"]
Path("card.cwt").write_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
Path("holder.pem").write_bytes(key.private_bytes(*pem))
done = {"notification_id": got["notification_id"], "event": "credential_accepted"}
ask(metadata["notification_endpoint"], json_data=done, token=token)
