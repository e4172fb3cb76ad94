"""The issuer's origin: what a standard wallet does, and what a gate says of what it got."""

from __future__ import annotations

import json

import pytest

from agent.credential.model import FormatName
from agent.credential.registry import ReadRules, read
from agent.desk.credentials import Credentials
from agent.desk.offers import Offers, OfferState, Purpose
from agent.desk.vci.app import issuer_app
from agent.issuing.issue import face_template, present
from agent.issuing.keys import Holder
from tests.support.asgi import talking_to
from tests.support.desks import NOW
from tests.support.key_sources import Unfiltered
from tests.support.phones import PRE_AUTHORIZED, Phone

ISSUER = "https://desk.localhost:8444"


def at_a_gate(desk, token, holder, now=NOW):
    code = present(token, holder, at=now, audience="library/main")
    rules = ReadRules(
        now=now, clock_trusted=True, site="library", gate="main",
        formats=frozenset({FormatName.NATIVE}),
    )  # fmt: skip
    return read(code.encode(), keys=Unfiltered([desk.issuer.issuer_key()]), rules=rules)


def actions(desk):
    with desk.store.read() as connection:
        assert desk.journal.verify(connection) is None
        return [row.action for row in reversed(desk.journal.read(connection))]


def test_a_phone_takes_a_card_that_a_gate_reads(desk, phone, offer, member):
    token = phone.take(offer.uri, offer.transaction_code)[0]
    seen = at_a_gate(desk, token, phone.holders[0])
    assert (seen.subject, seen.level, seen.kind, seen.dynamic) == (
        member.reference, 1, "library-card", True,
    )  # fmt: skip
    assert seen.status.uri == f"{ISSUER}/status/1"
    assert Offers(desk).state(offer.id).state is OfferState.DONE
    assert Offers(desk).state(offer.id).acknowledged
    assert actions(desk) == ["member-added", "offered", "taken", "acknowledged"]


def test_the_wallets_link_names_the_same_offer(phone, offer):
    assert phone.read(offer.wallet_link).json() == phone.read(offer.uri).json()


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
def test_each_key_is_its_holders(desk, web, offer, algorithm):
    phone = Phone(web, [Holder.new(algorithm)])
    token = phone.take(offer.uri, offer.transaction_code)[0]
    assert at_a_gate(desk, token, phone.holders[0]).dynamic


def test_a_batch_is_one_credential_a_key_with_nothing_in_common_but_the_person(desk, web, offer):
    phone = Phone(web, [Holder.new() for _ in range(5)])
    tokens = phone.take(offer.uri, offer.transaction_code)
    seen = [
        at_a_gate(desk, token, holder) for token, holder in zip(tokens, phone.holders, strict=True)
    ]
    assert len({one.status.index for one in seen}) == 5
    assert len({one.replay_key for one in seen}) == 5


def test_a_template_goes_onto_the_card_and_nowhere_else(desk, phone, member, tmp_path):
    template = bytes(range(128))
    offer = Offers(desk).create(
        member, purpose=Purpose.ISSUE, kind="library-card", level=2, who="mo",
        references=[face_template(template, "m")], evidence="passport",
    )  # fmt: skip
    token = phone.take(offer.uri, offer.transaction_code)[0]
    seen = at_a_gate(desk, token, phone.holders[0])
    assert (seen.references[0].data, seen.level) == (template, 2)
    desk.store.settle()
    kept = b"".join(file.read_bytes() for file in (tmp_path / "desk").glob("desk.sqlite*"))
    for secret in (template, token, phone.token["access_token"].encode()):
        assert secret not in kept


# --- what it says of itself ----------------------------------------------------------------------


def test_metadata_is_the_standards(web):
    got = web.get("/.well-known/openid-credential-issuer").json()
    assert got["credential_issuer"] == ISSUER
    for name in ("credential", "nonce", "notification"):
        assert got[f"{name}_endpoint"] == f"{ISSUER}/{name}"
    assert got["batch_credential_issuance"] == {"batch_size": 5}
    card = got["credential_configurations_supported"]["library-card"]
    shown = card.pop("credential_metadata")["display"]
    assert card == {
        "format": "sd-cwt",
        "vct": "urn:idgate:vct:library-card",
        "credential_signing_alg_values_supported": [-7],
        "cryptographic_binding_methods_supported": ["cose_key", "jwk"],
        "proof_types_supported": {
            "jwt": {"proof_signing_alg_values_supported": ["ES256", "ES384", "EdDSA", "Ed25519"]}
        },
    }
    assert [(one["locale"], one["name"]) for one in shown] == [
        ("en", "Library card"), ("es", "Carné de biblioteca"), ("zh", "借书证"),
    ]  # fmt: skip
    assert shown[0]["background_color"] == "#0b5d4e"


def test_the_authorization_server_is_the_issuer_and_lets_strangers_ask(web):
    assert web.get("/.well-known/oauth-authorization-server").json() == {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "grant_types_supported": [PRE_AUTHORIZED, "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "pre-authorized_grant_anonymous_access_supported": True,
    }


def test_an_offer_by_reference_is_the_standards(phone, offer):
    got = phone.read(offer.uri)
    assert got.headers["cache-control"] == "no-store"
    assert got.json() == {
        "credential_issuer": ISSUER,
        "credential_configuration_ids": ["library-card"],
        "grants": {
            PRE_AUTHORIZED: {
                "pre-authorized_code": offer.code,
                "tx_code": {
                    "input_mode": "numeric", "length": 6,
                    "description": "Six digits that the desk tells you",
                },
            }
        },
    }  # fmt: skip


def test_other_origins_may_read_every_answer_and_no_cookie_counts(web):
    asked = {"Origin": "https://desk.localhost:8445"}
    for got in (
        web.get("/.well-known/openid-credential-issuer", headers=asked),
        web.post("/nonce", headers=asked),
        web.post("/token", headers=asked, data={}),
        web.post("/credential", headers=asked),
        web.get("/nowhere", headers=asked),
    ):
        assert got.headers["access-control-allow-origin"] == "*"
        assert "Date" in got.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in got.headers
    before = web.options(
        "/credential",
        headers=asked
        | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert before.status_code == 200
    assert "POST" in before.headers["access-control-allow-methods"]
    allowed = before.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed


# --- offers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        ("use", 410, "used"),
        ("kill", 410, "killed"),
        ("wait", 410, "expired"),
        ("guess", 410, "locked"),
        ("never", 404, "unknown"),
    ],
)
def test_an_offer_that_is_over_says_how(desk, desk_clock, phone, offer, end, status, reason):
    code = offer.code
    match end:
        case "use":
            phone.redeem(code, offer.transaction_code)
        case "kill":
            Offers(desk).kill(offer.id, who="mo")
        case "wait":
            desk_clock.now += 600
        case "guess":
            wrong = f"{(int(offer.transaction_code) + 1) % 10**6:06}"
            for _ in range(5):
                phone.redeem(code, wrong)
        case _:
            code = "A" * 22
    shown = phone.web.get(f"/offers/{code}")
    assert (shown.status_code, shown.json()["error"]) == (status, "invalid_offer")
    asked = phone.redeem(code, offer.transaction_code)
    assert (asked.status_code, asked.json()["error"]) == (400, "invalid_grant")
    assert shown.json()["idgate_reason"] == asked.json()["idgate_reason"] == reason


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/token", "/credential", "/notification"])
def test_a_large_body_is_refused_while_it_arrives(web, path):
    got = web.post(path, content=b"x" * 65_537, headers={"Authorization": "Bearer x"})
    assert (got.status_code, got.json()["error"]) == (413, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'"text"', b"\xff", b"[" * 60_000, b'{"a":' * 10_000, b'{"a":NaN}'],
)
def test_what_is_no_json_object_is_told(phone, offer, body):
    phone.redeem(offer.code, offer.transaction_code)
    got = phone.web.post("/credential", content=body, headers=phone.bearer())
    assert (got.status_code, got.json()["error"]) == (400, "invalid_credential_request")
    got = phone.web.post("/notification", content=body, headers=phone.bearer())
    assert (got.status_code, got.json()["error"]) == (400, "invalid_notification_request")


def test_addresses_that_ask_too_much_wait(desk, monkeypatch):
    monkeypatch.setattr("agent.desk.vci.app._BURST", 3)
    monkeypatch.setattr("agent.desk.vci.app._PER_S", 0.001)
    with talking_to(issuer_app(desk), ISSUER) as web:
        answers = [web.post("/nonce") for _ in range(4)]
    assert [got.status_code for got in answers] == [200, 200, 200, 429]
    assert answers[-1].json()["error"] == "slow_down"
    assert int(answers[-1].headers["retry-after"]) == 1_000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/token", 405), ("POST", "/offers/x", 405)],
)
def test_a_wrong_address_is_an_error_like_any_other(web, method, path, status):
    got = web.request(method, path)
    assert got.status_code == status
    assert set(got.json()) == {"error", "error_description"}


def test_what_fails_inside_is_told_without_what_was_sent(desk, offer, caplog):
    with talking_to(issuer_app(desk), ISSUER) as web:
        with desk.store.write() as connection:
            connection.exec_driver_sql("DROP TABLE access")
        got = Phone(web).redeem(offer.code, offer.transaction_code)
    assert (got.status_code, got.json()["error"]) == (500, "server_error")
    assert [record.getMessage() for record in caplog.records] == [
        "the issuer failed: OperationalError"
    ]
    assert offer.code not in json.dumps(got.json()) + caplog.text


# --- later ---------------------------------------------------------------------------------------


def test_a_lost_phone_can_do_nothing_more(desk, phone, offer, member):
    phone.take(offer.uri, offer.transaction_code)
    Credentials(desk).phone_lost(member.reference, "mo")
    assert phone.fetch().status_code == 401
    assert phone.refresh().json()["error"] == "invalid_grant"
