"""Pages of members, by form posts as a browser sends them."""

from __future__ import annotations

import html

import pytest

from agent.desk.credentials import Credentials, Form, Status
from agent.desk.members import Members
from agent.desk.staff import Role
from agent.issuing.keys import Holder
from tests.support.desk_seats import seats_of, text_of
from tests.support.desks import NOW, a_person

FORM = {
    "name": "Ada Lovelace", "number": "17", "email": "ada@example.org", "birth_date": "1985-12-10",
    "kind": "library-card", "level": "1", "valid_until": "2027-12-31", "regions": "es, GB-ENG",
}  # fmt: skip


def give(desk, member, form=Form.PHONE):
    holder = Holder.new() if form is Form.PHONE else None
    with desk.store.write() as connection:
        return Credentials(desk).sign(
            connection, member, kind="library-card", level=1, holder=holder, form=form,
            issued_by="x", now=desk.clock(),
        )  # fmt: skip


def states(desk, member):
    return [row.status for row in Credentials(desk).of_member(member.reference)]


def test_member_by_form(seats, clerk):
    made = clerk.post("/members/new", data=FORM)
    assert made.status_code == 303
    page = clerk.get(made.headers["location"])
    assert "The member was added" in page.text
    for word in ("Ada Lovelace", "17", "ada@example.org", "1985-12-10", "2027-12-31", "ES, GB-ENG"):
        assert word in page.text
    (member,) = Members(seats.desk).page()
    assert seats.journal() == [(clerk.name, "member-added", member.reference, "")]


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"name": ""}, 422, "name"), ({"name": "a\u202eb"}, 422, "direction"),
        ({"email": "nobody"}, 422, "e-mail"), ({"birth_date": "1815"}, 422, "birth date"),
        ({"valid_until": "2001-01-01"}, 422, "over already"), ({"regions": "Narnia"}, 422, "regions"),
        ({"kind": "passport"}, 422, "kind"), ({"kind": "x"}, 400, "kind"), ({"level": "3"}, 422, "level"),
        ({"level": "x"}, 400, "level"), ({"valid_until": "soon"}, 400, "date"),
        ({"name": "x" * 200}, 422, "name"),
    ],
)  # fmt: skip
def test_form_that_is_wrong_says_why_and_keeps_what_was_typed(seats, clerk, change, status, why):
    got = clerk.post("/members/new", data=FORM | change)
    assert got.status_code == status
    assert why in text_of(got)
    if status == 422:
        assert 'value="17"' in got.text
    assert Members(seats.desk).count() == 0


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ 7*7 }}{% raw %}",
        "a' onfocus='x",
    ],
)
def test_name_is_text_wherever_it_stands(seats, clerk, issuer, name):
    where = clerk.post("/members/new", data=FORM | {"name": name}).headers["location"]
    reference = where.split("/")[2].split("?")[0]
    for seat, path in (
        (clerk, "/members"), (clerk, f"/members?q={name[:4]}"), (clerk, where), (issuer, where),
        (clerk, f"/members/{reference}/change"), (clerk, f"/members/{reference}/handover"),
    ):  # fmt: skip
        text = seat.get(path).text
        escaped = html.escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
        assert escaped in text
        assert escaped == name or name not in text


def test_search_and_pages(seats, clerk):
    members = Members(seats.desk)
    members.add_all(
        [a_person(f"Person {number:03}", number=str(number)) for number in range(60)], "x"
    )
    first = clerk.get("/members")
    assert first.text.count('scope="row"') == 50
    more = first.text.split('href="/members?after=')[1].split('"')[0]
    assert clerk.get(f"/members?after={more}").text.count('scope="row"') == 10
    assert clerk.get("/members", params={"q": "person 059"}).text.count('scope="row"') == 1
    assert "Nobody was found" in clerk.get("/members?q=nobody").text
    for query in ("after=x", "after=-1", "after=99999999999999999999", "q=" + "x" * 400):
        assert clerk.get(f"/members?{query}").status_code == 200


@pytest.mark.parametrize("path", ["", "/change", "/handover"])
def test_member_who_is_not_there(clerk, path):
    assert clerk.get(f"/members/NOBODYATALL0{path}").status_code == 404


def test_change_withdraws_what_becomes_untrue(seats, clerk, ada):
    give(seats.desk, ada)
    page = clerk.get(f"/members/{ada.reference}/change")
    assert 'value="Ada Lovelace"' in page.text
    got = clerk.post(f"/members/{ada.reference}/change", data=FORM | {"valid_until": "2027-02-01"})
    assert got.headers["location"] == f"/members/{ada.reference}?done=changed&published=off"
    assert states(seats.desk, ada) == [Status.REVOKED]


@pytest.mark.parametrize(
    ("action", "phone", "card"),
    [
        ("suspend", Status.SUSPENDED, Status.SUSPENDED),
        ("phone-lost", Status.REVOKED, Status.VALID),
        ("revoke", Status.REVOKED, Status.REVOKED),
    ],
)
def test_what_happens_to_credentials(seats, issuer, ada, action, phone, card):
    give(seats.desk, ada, Form.CARD)
    give(seats.desk, ada)
    got = issuer.post(f"/members/{ada.reference}/{action}")
    assert states(seats.desk, ada) == [phone, card]
    page = issuer.get(got.headers["location"])
    assert "publishes nothing by itself" in page.text
    word = {Status.SUSPENDED: "suspended", Status.REVOKED: "revoked"}[phone]
    assert word in text_of(page)
    again = issuer.post(f"/members/{ada.reference}/{action}").headers["location"]
    assert "done=none" in again
    issuer.post(f"/members/{ada.reference}/restore")
    if action == "suspend":
        assert states(seats.desk, ada) == [Status.VALID, Status.VALID]
    else:
        assert Status.REVOKED in states(seats.desk, ada)


def test_erasing_needs_a_yes(seats, issuer, clerk, ada):
    give(seats.desk, ada)
    where = f"/members/{ada.reference}/erase"
    assert issuer.post(where).status_code == 400
    assert clerk.post(where, data={"sure": "yes"}).status_code == 403
    got = issuer.post(where, data={"sure": "yes"})
    assert "was erased" in issuer.get(got.headers["location"]).text
    page = issuer.get(f"/members/{ada.reference}")
    assert "Ada" not in page.text
    assert "Erased member" in page.text
    assert states(seats.desk, ada) == [Status.REVOKED]
    assert (
        clerk.post(
            f"/members/{ada.reference}/handover", data={"kind": "library-card", "level": "1"}
        ).status_code
        == 422
    )


class Publisher:
    """A publisher that works, or does not."""

    def __init__(self, wrong: Exception | None = None) -> None:
        self.wrong, self.asked = wrong, []

    def publish(self, *, who: str) -> None:
        self.asked.append(who)
        if self.wrong is not None:
            raise self.wrong


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (None, "gates have been told"),
        (ValueError("no disk"), "could not be published"),
        (OSError(28, "full"), "could not be published"),
    ],
)
def test_withdrawal_is_published_at_once_and_never_lost(desk, wrong, told):
    publisher = Publisher(wrong)
    with seats_of(desk, publisher) as seats:
        clerk = seats.of(Role.CLERK)
        member = Members(desk).add(a_person(), "x")
        give(desk, member)
        got = clerk.post(f"/members/{member.reference}/suspend")
        assert told in clerk.get(got.headers["location"]).text
        assert publisher.asked == [clerk.name]
        assert states(desk, member) == [Status.SUSPENDED]


def test_seal_of_another_key_is_told(seats, clerk, ada):
    from tests.support.databases import edited

    with edited(seats.desk.settings.path("desk.sqlite")) as database:
        database.execute("UPDATE member SET sealed = zeroblob(64)")
    got = clerk.get(f"/members/{ada.reference}")
    assert got.status_code == 500
    assert "another site key" in got.text


def test_rows_of_credentials(seats, clerk, ada, desk_clock):
    give(seats.desk, ada)
    page = text_of(clerk.get(f"/members/{ada.reference}"))
    assert "✓ valid" in page
    assert "Renew" in page
    desk_clock.now = NOW + 90 * 86_400 + 1
    seat = seats.of(Role.CLERK)  # the session of before is over
    assert "over" in text_of(seat.get(f"/members/{ada.reference}"))
