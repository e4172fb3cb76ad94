"""Staff: names, roles, invitations, sessions and their ends."""

from __future__ import annotations

import pytest

from agent.desk.staff import LONGEST_SESSION_S, Role, Staff, StaffError
from tests.support.databases import edited


@pytest.fixture
def staff(desk):
    made = Staff(desk)
    made.add("boss", [Role.ISSUER, Role.AUDITOR], who="desk")
    return made


def signed_in(desk, staff, name="boss"):
    (worker,) = [each for each in staff.all() if each.name == name]
    with desk.store.write() as connection:
        return staff.begin(connection, worker.id, name)


@pytest.mark.parametrize("name", ["", "Ada", "a b", "self", "desk", "é", "a" * 65, "<b>", "-a"])
def test_name_that_is_none(staff, name):
    with pytest.raises(StaffError, match="work name"):
        staff.add(name, [Role.CLERK], who="boss")


def test_name_is_never_used_again(staff):
    staff.add("ada", [Role.CLERK], who="boss")
    staff.end("ada", who="boss")
    with pytest.raises(StaffError, match="used before"):
        staff.add("ada", [Role.CLERK], who="boss")


def test_role_is_needed(staff):
    with pytest.raises(StaffError, match="a role"):
        staff.add("ada", [], who="boss")


def test_code_stands_behind_the_hash(desk, staff):
    made = staff.add("ada", [Role.CLERK], who="boss")
    before, behind = made.link.split("#")
    assert before == "https://desk.localhost:8443/welcome"
    assert behind == made.code
    assert made.code not in repr(made)


def test_no_code_or_cookie_stands_in_the_database(desk, staff):
    code = staff.add("ada", [Role.CLERK], who="boss").code
    cookie = signed_in(desk, staff)
    data = b"".join(
        file.read_bytes() for file in desk.settings.folder.iterdir() if "sqlite" in file.name
    )
    assert b"staff-added" in data
    for secret in (code, cookie):
        assert secret.encode() not in data


def test_cookie_made_of_the_database_signs_nobody_in(desk, staff):
    signed_in(desk, staff)
    with edited(desk.settings.path("desk.sqlite")) as database:
        (digest,) = database.execute("SELECT id_digest FROM session").fetchone()
    import base64

    assert staff.session(base64.urlsafe_b64encode(digest).decode()) is None


@pytest.mark.parametrize("cookie", ["", "x", "é", "=" * 8, "A" * 43, "A" * 5_000, "\0"])
def test_cookie_that_is_none(staff, cookie):
    assert staff.session(cookie) is None


def test_session_ends_when_idle(desk, staff, desk_clock):
    cookie = signed_in(desk, staff)
    idle = desk.settings.rules.session_s
    for _ in range(3):
        desk_clock.now += idle - 1
        assert staff.session(cookie).name == "boss"
    desk_clock.now += idle
    assert staff.session(cookie) is None


def test_session_ends_after_a_working_day(desk, staff, desk_clock):
    cookie = signed_in(desk, staff)
    begun, step = desk_clock.now, desk.settings.rules.session_s // 2
    while desk_clock.now + step < begun + LONGEST_SESSION_S:
        desk_clock.now += step
        assert staff.session(cookie) is not None
    desk_clock.now = begun + LONGEST_SESSION_S
    assert staff.session(cookie) is None


def test_roles_are_read_anew(desk, staff):
    staff.add("ada", [Role.CLERK], who="boss")
    cookie = signed_in(desk, staff, "ada")
    assert staff.session(cookie).roles == {Role.CLERK}
    staff.set_roles("ada", [Role.AUDITOR], who="boss")
    assert staff.session(cookie).roles == {Role.AUDITOR}


def test_end_ends_sessions(desk, staff):
    staff.add("ada", [Role.CLERK], who="boss")
    cookie = signed_in(desk, staff, "ada")
    staff.end("ada", who="boss")
    assert staff.session(cookie) is None
    (ada,) = [each for each in staff.all() if each.name == "ada"]
    assert (ada.ended_at, ada.passkeys) == (desk.clock(), 0)
    with pytest.raises(StaffError, match="nobody"):
        staff.invite("ada", who="boss")


def test_one_issuer_remains(staff):
    for act in (
        lambda: staff.end("boss", who="boss"),
        lambda: staff.set_roles("boss", [Role.CLERK], who="boss"),
    ):
        with pytest.raises(StaffError, match="no issuer would remain"):
            act()
    staff.add("next", [Role.ISSUER], who="boss")
    staff.end("boss", who="next")


def test_journal_says_who_did_it(desk, staff):
    staff.add("ada", [Role.CLERK, Role.AUDITOR], who="boss")
    staff.set_roles("ada", [Role.CLERK], who="boss")
    cookie = signed_in(desk, staff, "ada")
    session = staff.session(cookie)
    staff.denied(session, "POST /staff")
    staff.sign_out(session)
    assert staff.session(cookie) is None
    with desk.store.read() as connection:
        rows = desk.journal.read(connection, limit=5)
        assert desk.journal.verify(connection) is None
    assert [(row.who, row.action, row.reference, row.detail) for row in reversed(rows)] == [
        ("boss", "staff-added", "ada", "clerk auditor"),
        ("boss", "staff-changed", "ada", "clerk"),
        ("ada", "signed-in", "ada", ""),
        ("ada", "denied", "ada", "POST /staff"),
        ("ada", "signed-out", "ada", ""),
    ]
