"""The credential endpoint: the negative tests of the conformance plans, refresh, lost answers."""

from __future__ import annotations

import pytest

from agent.credential.model import FormatName
from agent.credential.registry import ReadRules, read
from agent.desk.credentials import Credentials
from agent.desk.members import Members
from agent.desk.offers import Offers, Purpose
from agent.desk.statuses import Status
from agent.issuing.issue import face_template, present
from agent.issuing.keys import Holder, SigningKey
from tests.support.desks import a_desk, a_person
from tests.support.key_sources import Unfiltered
from tests.support.phones import Phone, b64url, proof

DAY = 86_400
TEMPLATE = bytes(range(128))


@pytest.fixture
def asking(phone, offer) -> Phone:
    """A phone that has its access token."""
    phone.redeem(offer.code, offer.transaction_code)
    return phone


def rows(desk, member):
    return Credentials(desk).of_member(member.reference)


def states(desk, member):
    return [row.status for row in reversed(rows(desk, member))]


def seen_by_a_gate(desk, token, holder):
    now = desk.clock()
    rules = ReadRules(
        now=now, clock_trusted=True, site="library", gate="main",
        formats=frozenset({FormatName.NATIVE}),
    )  # fmt: skip
    code = present(token, holder, at=now, audience="library/main")
    return read(code.encode(), keys=Unfiltered([desk.issuer.issuer_key()]), rules=rules)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"credential_configuration_id": "passport"}, "unknown_credential_configuration"),
        ({"credential_configuration_id": "online-id"}, "credential_request_denied"),
        ({"credential_configuration_id": None}, "invalid_credential_request"),
        ({"credential_configuration_id": ["library-card"]}, "invalid_credential_request"),
        (
            {"credential_configuration_id": None, "credential_identifier": "x"},
            "unknown_credential_identifier",
        ),
        ({"credential_identifier": "x"}, "invalid_credential_request"),
        ({"credential_response_encryption": {}}, "invalid_encryption_parameters"),
        ({"proofs": None}, "invalid_proof"),
        ({"proofs": None, "proof": {"proof_type": "jwt"}}, "invalid_proof"),
        ({"proofs": {}}, "invalid_proof"),
        ({"proofs": {"jwt": []}}, "invalid_proof"),
        ({"proofs": {"jwt": "text"}}, "invalid_proof"),
        ({"proofs": {"jwt": [7]}}, "invalid_proof"),
        ({"proofs": {"ldp_vp": ["x"]}}, "invalid_proof"),
        ({"proofs": {"jwt": ["x"], "attestation": ["x"]}}, "invalid_proof"),
        ({"idgate_previous": 7}, "invalid_credential_request"),
        ({"idgate_previous": "A" * 20_000}, "invalid_credential_request"),
        ({"idgate_previous": "A"}, "invalid_credential_request"),
    ],
)
def test_refusals_by_name_after_which_it_still_works(asking, request_, error):
    body = {"credential_configuration_id": "library-card", "proofs": {"jwt": asking.proofs()}}
    body = {name: value for name, value in (body | request_).items() if value is not None}
    got = asking.web.post("/credential", json=body, headers=asking.bearer())
    assert (got.status_code, got.json()["error"]) == (400, error)
    assert got.json()["error_description"].isascii()
    assert asking.fetch().status_code == 200


@pytest.mark.parametrize("nonce", ["", "A" * 54, "text"])
def test_a_nonce_that_is_not_ours(asking, nonce):
    got = asking.fetch(proofs={"jwt": asking.proofs(nonce)})
    expected = "invalid_nonce" if nonce else "invalid_proof"
    assert (got.status_code, got.json()["error"]) == (400, expected)


def test_a_nonce_that_is_over(asking, desk_clock):
    old = asking.nonce()
    desk_clock.now += 301
    asking.token |= {}
    got = asking.fetch(proofs={"jwt": asking.proofs(old)})
    assert got.status_code == 401  # the token went with it: no shorter than the nonce
    desk_clock.now -= 2
    assert asking.fetch(proofs={"jwt": asking.proofs(old)}).status_code == 200


def test_a_replayed_nonce(desk, asking, member):
    proofs = {"jwt": asking.proofs()}
    assert asking.fetch(proofs=proofs).status_code == 200
    got = asking.fetch(proofs=proofs)
    assert (got.status_code, got.json()["error"]) == (400, "invalid_nonce")
    assert states(desk, member) == [Status.VALID]  # and nothing was withdrawn for it


def test_a_nonce_of_a_refused_request_is_still_good(asking):
    nonce = asking.nonce()
    bad = proof(SigningKey.new("ES256"), nonce=nonce, claims={"aud": "https://other"})
    assert asking.fetch(proofs={"jwt": [bad]}).json()["error"] == "invalid_proof"
    assert asking.fetch(proofs={"jwt": asking.proofs(nonce)}).status_code == 200


def test_one_bad_proof_spoils_the_batch(desk, asking, member):
    nonce = asking.nonce()
    good, bad = SigningKey.new("ES256"), SigningKey.new("ES256")
    forged = proof(good, nonce=nonce).rpartition(".")[0] + "." + b64url(bad.sign(b"x"))
    got = asking.fetch(proofs={"jwt": [proof(good, nonce=nonce), forged]})
    assert got.json()["error"] == "invalid_proof"
    assert rows(desk, member) == []


def test_more_proofs_than_a_batch(asking):
    asking.holders = [Holder.new() for _ in range(6)]
    got = asking.fetch()
    assert got.json()["error"] == "invalid_proof"
    assert "batch_size" in got.json()["error_description"]


# --- what an offer is bound to ---------------------------------------------------------------


def test_an_offer_for_one_key_is_for_no_other(desk, web, member):
    right, other = Holder.new(), Holder.new()
    made = Offers(desk).create(
        member, purpose=Purpose.UPGRADE, kind="library-card", level=2, who="mo",
        holder=right.thumbprint(), evidence="passport",
    )  # fmt: skip
    phone = Phone(web, [other])
    assert phone.read(made.uri).json()["idgate"] == {"holder": right.thumbprint()}
    phone.redeem(made.code, made.transaction_code)
    for holders in ([other], [right, other]):
        phone.holders = holders
        assert phone.fetch().json()["error"] == "invalid_proof"
    phone.holders = [right]
    assert phone.fetch().status_code == 200
    row = rows(desk, member)[0]
    assert (row.holder, row.level, row.evidence, row.issued_by) == (
        right.thumbprint(), 2, "passport", "mo",
    )  # fmt: skip
    assert Members(desk).get(member.reference).person.level == 2


def test_what_is_suspended_gets_nothing_new(desk, phone, offer, member):
    phone.take(offer.uri, offer.transaction_code)
    Credentials(desk).suspend(member.reference, "mo")
    phone.refresh()
    got = phone.fetch()
    assert got.json()["error"] == "credential_request_denied"
    assert "suspended" in got.json()["error_description"]
    Credentials(desk).restore(member.reference, "mo")
    assert phone.fetch().status_code == 200


# --- lost answers ------------------------------------------------------------------------------


def test_an_answer_that_was_lost_is_fetched_again_and_the_lost_one_withdrawn(desk, asking, member):
    asking.fetch()
    assert asking.fetch().status_code == 200
    assert states(desk, member) == [Status.REVOKED, Status.VALID]
    assert asking.notify().status_code == 204
    got = asking.fetch()
    assert got.json()["error"] == "credential_request_denied"
    assert states(desk, member) == [Status.REVOKED, Status.VALID]


def test_fetching_again_has_an_end(asking):
    assert [asking.fetch().status_code for _ in range(6)] == [200] * 5 + [400]


def test_a_phone_that_refreshes_all_day_fills_no_status_list(asking, desk_clock):
    asking.fetch()
    asking.notify()
    answers = []
    for _ in range(10):
        asking.refresh()
        answers.append(asking.fetch())
        asking.notify()
    assert [got.status_code for got in answers] == [200] * 9 + [400]
    assert answers[-1].json()["error"] == "credential_request_denied"
    desk_clock.now += DAY
    asking.refresh()
    assert asking.fetch().status_code == 200


def test_the_journal_says_whose_act_each_was(desk, web, member, faced):
    faced.refresh()
    faced.fetch()
    made = Offers(desk).create(
        member, purpose=Purpose.UPGRADE, kind="library-card", level=2, who="kim",
        holder=faced.holders[0].thumbprint(),
    )  # fmt: skip
    faced.take(made.uri, made.transaction_code)
    with desk.store.read() as connection:
        rows = {row.action: row.who for row in desk.journal.read(connection)}
    assert [rows[action] for action in ("taken", "refreshed", "upgraded", "revoked")] == [
        "self", "self", "kim", "desk",
    ]  # fmt: skip


def test_fetched_again_it_has_the_template_too(desk, web, member):
    made = Offers(desk).create(
        member, purpose=Purpose.ISSUE, kind="library-card", level=1, who="mo",
        references=[face_template(TEMPLATE, "m")],
    )  # fmt: skip
    phone = Phone(web)
    phone.redeem(made.code, made.transaction_code)
    phone.fetch()
    phone.fetch()
    seen = seen_by_a_gate(desk, phone.credentials[0], phone.holders[0])
    assert seen.references[0].data == TEMPLATE


# --- refresh -----------------------------------------------------------------------------------


@pytest.fixture
def faced(desk, web, member) -> Phone:
    """A phone with a card that carries a template, 80 days later."""
    made = Offers(desk).create(
        member, purpose=Purpose.ISSUE, kind="library-card", level=1, who="mo",
        references=[face_template(TEMPLATE, "m")],
    )  # fmt: skip
    phone = Phone(web)
    phone.take(made.uri, made.transaction_code)
    return phone


def test_a_card_is_refreshed_with_its_template(desk, faced, member, desk_clock):
    desk_clock.now += 80 * DAY
    before = faced.credentials[0]
    faced.refresh()
    got = faced.fetch(idgate_previous=b64url(before))
    assert got.status_code == 200, got.text
    seen = seen_by_a_gate(desk, faced.credentials[0], faced.holders[0])
    assert seen.references[0].data == TEMPLATE
    assert seen.valid_until == desk_clock.now + 90 * DAY
    assert faced.notify().status_code == 204
    assert states(desk, member) == [Status.VALID, Status.VALID]


def test_without_the_card_of_before_it_has_no_template(desk, faced):
    faced.refresh()
    assert faced.fetch().status_code == 200
    assert seen_by_a_gate(desk, faced.credentials[0], faced.holders[0]).references == ()


def test_a_stolen_refresh_token_is_worth_nothing_without_the_phones_key(faced):
    faced.holders = [Holder.new()]
    faced.refresh()
    got = faced.fetch()
    assert got.json()["error"] == "credential_request_denied"


def test_new_keys_may_come_beside_one_that_is_known(faced):
    faced.holders = [Holder.new(), *faced.holders]
    faced.refresh()
    assert faced.fetch().status_code == 200


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("another desk's", "invalid_credential_request"),
        ("another member's", "invalid_credential_request"),
        ("another key's", "invalid_credential_request"),
        ("changed", "invalid_credential_request"),
        ("no credential", "invalid_credential_request"),
        ("revoked", "credential_request_denied"),
        ("of another level", "invalid_credential_request"),
    ],
)
def test_a_card_of_before_that_does_not_count(desk, web, faced, member, tmp_path, what, error):
    previous = faced.credentials[0]
    keeper = faced.holders[0]

    def sign(one_desk, whose, level=1, holder=keeper):
        with one_desk.store.write() as connection:
            return Credentials(one_desk).sign(
                connection, whose, kind="library-card", level=level, holder=holder,
                references=[face_template(bytes(128), "m")], form="phone", issued_by="mo",
                now=one_desk.clock(),
            )  # fmt: skip

    match what:
        case "another desk's":
            other = a_desk(tmp_path / "other")
            previous = sign(other, Members(other).add(a_person(), "mo")).token
            other.close()
        case "another member's":
            previous = sign(desk, Members(desk).add(a_person("Eve"), "mo")).token
        case "another key's":
            previous = sign(desk, member, holder=Holder.new()).token
        case "changed":
            previous = previous[:-1] + bytes([previous[-1] ^ 1])
        case "no credential":
            previous = b"\xa0"
        case "revoked":
            made = sign(desk, member)
            Credentials(desk).set_status(_of(made.cti), Status.REVOKED, who="mo", action=_action())
            previous = made.token
        case _:
            previous = sign(desk, member, level=2).token
    faced.refresh()
    got = faced.fetch(idgate_previous=b64url(previous))
    assert (got.status_code, got.json()["error"]) == (400, error), got.text


def _of(cti):
    from agent.desk.statuses import Selection

    return Selection(cti=(cti,))


def _action():
    from agent.desk.audit import Action

    return Action.REVOKED


def test_a_first_card_takes_nothing_over(desk, web, faced, member):
    """A face that somebody took of oneself must not come onto a card that the desk vouches for."""
    made = Offers(desk).create(
        member, purpose=Purpose.UPGRADE, kind="library-card", level=2, who="mo",
        holder=faced.holders[0].thumbprint(),
    )  # fmt: skip
    own = faced.credentials[0]
    faced.redeem(made.code, made.transaction_code)
    assert faced.fetch(idgate_previous=b64url(own)).status_code == 200
    assert seen_by_a_gate(desk, faced.credentials[0], faced.holders[0]).references == ()


def test_a_renewal_at_the_desk_takes_the_template_over(desk, faced, member):
    made = Offers(desk).create(
        member, purpose=Purpose.RENEW, kind="library-card", level=1, who="mo",
        holder=faced.holders[0].thumbprint(),
    )  # fmt: skip
    own = faced.credentials[0]
    faced.redeem(made.code, made.transaction_code)
    assert faced.fetch(idgate_previous=b64url(own)).status_code == 200
    seen = seen_by_a_gate(desk, faced.credentials[0], faced.holders[0])
    assert seen.references[0].data == TEMPLATE
