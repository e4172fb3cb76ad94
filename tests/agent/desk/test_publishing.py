"""What the desk publishes, as gates take it: a real repository, a real database, a real cache."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.credential.model import StatusVerdict
from agent.desk.desk import ISSUER_KEY, NUDGE_KEY, ONLINE_KEY
from agent.desk.nudge import Told
from agent.desk.publishing import ROSTER_KEY, Publisher, PublishingError, create_repository
from agent.desk.tables import status_lists
from agent.issuing.keys import Issuer, SigningKey
from agent.trust.cache import load_signed
from agent.trust.publish import Repository
from agent.trust.roster import RosterEntry, load_key
from agent.trust.signing_keys import load_signer
from tests.support.desks import DAY
from tests.support.trust_desks import TrustDesk
from tests.support.trust_sets import GateCache

SMALL = "[status]\nsize = 1024\n"


class Heard:
    """A nudge that counts."""

    def __init__(self) -> None:
        self.times = 0

    def tell(self) -> tuple[Told, ...]:
        self.times += 1
        return (Told("main"), Told("yard", "no answer; it will look for itself"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[TrustDesk]:
    made = TrustDesk(tmp_path, more=SMALL)
    yield made
    made.desk.close()


@pytest.fixture
def gate(place: TrustDesk, tmp_path: Path) -> GateCache:
    return place.gate(tmp_path / "cache")


def verdict(place: TrustDesk, gate: GateCache, spot: tuple[str, int]) -> StatusVerdict:
    gate.update(place.repository, now=place.clock.now)
    lists = load_signed(gate.path, place.clock.now).status_lists
    (found,) = [entry for entry in lists if entry.uri == spot[0]]
    return found.answer(spot[1], place.clock.now).verdict


def signers(stick: Path, *roles: str) -> list:
    return [load_signer(stick / f"{role}-1.pem", lambda _: b"") for role in roles]


# --- making it -----------------------------------------------------------------------------------


def test_a_new_desk_has_a_set_that_gates_take(place: TrustDesk, gate: GateCache) -> None:
    assert gate.update(place.repository, now=place.clock.now)
    snapshot = load_signed(gate.path, place.clock.now)
    (key,) = snapshot.keys
    assert (key.issuer, key.kid) == ("town", place.desk.issuer.kid)
    assert key.kinds == {"library-card", "online-id"}
    assert key.iss == {"urn:idgate:issuer:town"}
    (operator,) = snapshot.operators
    assert (operator.name, operator.roles) == ("desk", {"update"})
    (listed,) = snapshot.status_lists
    assert (listed.uri, len(listed)) == ("https://desk.localhost:8444/status/1", 1024)


def test_the_keys_are_kept_apart_and_their_owners_only(place: TrustDesk) -> None:
    assert sorted(path.name for path in place.stick.iterdir()) == ["root-1.pem", "targets-1.pem"]
    for name in (ONLINE_KEY, NUDGE_KEY, ROSTER_KEY):
        assert stat.S_IMODE((place.folder / name).stat().st_mode) == 0o600
    repository = Repository(place.repository, now=place.clock.now)
    here = load_signer(place.folder / ONLINE_KEY, lambda _: b"").public_key.keyid
    assert [role for role in ("root", "targets", "snapshot", "timestamp", "status")
            if here in repository.keys_of(role)] == ["snapshot", "timestamp", "status"]  # fmt: skip


def test_nothing_is_made_twice(place: TrustDesk, tmp_path: Path) -> None:
    settings, now = place.desk.settings, place.clock.now
    with pytest.raises(PublishingError, match=r"root-1\.pem: key cannot be written: File exists"):
        create_repository(place.folder, place.stick, settings, now)
    with pytest.raises(PublishingError, match=r"online\.key\.pem: key cannot be written"):
        create_repository(place.folder, tmp_path / "other", settings, now)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PublishingError, match="cannot be written"):
        create_repository(tmp_path / "new", tmp_path / "file" / "stick", settings, now)


def test_the_keys_on_the_stick_may_have_a_password(place: TrustDesk, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    create_repository(new, tmp_path / "s", place.desk.settings, place.clock.now, password=b"pw")
    assert b"ENCRYPTED" in (tmp_path / "s" / "root-1.pem").read_bytes()
    assert SigningKey.from_file(new / ISSUER_KEY)  # made, where there was none


# --- publishing ----------------------------------------------------------------------------------


def test_what_is_withdrawn_is_denied_and_what_is_restored_is_not(
    place: TrustDesk, gate: GateCache
) -> None:
    publisher, spot = Publisher(place.desk, None), place.place(place.issue())
    publisher.publish(who="clerk")
    assert verdict(place, gate, spot) is StatusVerdict.VALID
    for change, expected in (
        (place.credentials.suspend, StatusVerdict.SUSPENDED),
        (place.credentials.restore, StatusVerdict.VALID),
        (place.credentials.revoke, StatusVerdict.INVALID),
    ):
        change(place.member.reference, "clerk")
        assert publisher.publish(who="clerk").changed
        assert verdict(place, gate, spot) is expected


def test_a_credential_is_known_at_once_also_the_first_of_a_new_list(
    place: TrustDesk, gate: GateCache
) -> None:
    """No word to the gates is needed between issuing and the first passage."""
    Publisher(place.desk, None).publish(who="desk")
    first = place.place(place.issue())
    assert verdict(place, gate, first) is StatusVerdict.VALID
    Publisher(place.desk, None).publish(who="desk")
    with place.desk.store.write() as connection:  # the list is full
        uri = "https://desk.localhost:8444/status/2"
        connection.execute(status_lists.insert().values(number=2, uri=uri, size=1024))
    second = place.place(place.issue())
    assert second[0] == uri
    assert verdict(place, gate, second) is StatusVerdict.VALID


def test_nothing_is_published_where_nothing_changed_until_it_grows_old(place: TrustDesk) -> None:
    publisher = Publisher(place.desk, None)
    first = publisher.publish(who="desk")
    assert (first.version, first.changed) == (1, False)
    place.issue()
    begun = publisher.publish(who="desk")  # list 1 is begun, list 2 comes ahead
    assert (begun.version, begun.changed) == (2, True)
    again = publisher.publish(who="desk")
    assert (again.version, again.at, again.changed) == (2, begun.at, False)
    place.clock.now += DAY - 1
    assert publisher.publish(who="desk").version == 2
    place.clock.now += 1
    aged = publisher.publish(who="desk")
    assert (aged.version, aged.changed, aged.at) == (3, False, place.clock.now)
    assert publisher.publish(who="desk").version == 3


def test_a_list_is_signed_anew_after_a_clock_that_ran_ahead(place: TrustDesk) -> None:
    publisher = Publisher(place.desk, None)
    place.clock.now += 20 * DAY
    assert publisher.publish(who="desk").version == 2
    place.clock.now -= 20 * DAY
    assert publisher.publish(who="desk").version == 3
    assert publisher.publish(who="desk").version == 3


def test_publishing_is_journaled_and_gates_are_told_once(place: TrustDesk) -> None:
    nudge = Heard()
    publisher = Publisher(place.desk, nudge)
    place.issue()
    publisher.publish(who="desk")
    place.credentials.revoke(place.member.reference, "ada")
    published = publisher.publish(who="ada")
    assert published.told == (Told("main"), Told("yard", "no answer; it will look for itself"))
    publisher.publish(who="ada")
    assert nudge.times == 2
    with place.desk.store.read() as connection:
        newest = place.desk.journal.read(connection)[0]
        assert place.desk.journal.verify(connection) is None
    assert (newest.who, newest.action, newest.detail) == (
        "ada", "published", "version 3: 1 status lists",
    )  # fmt: skip


def test_a_power_cut_before_the_timestamp_does_not_hide_a_revocation(
    place: TrustDesk, gate: GateCache
) -> None:
    publisher, spot = Publisher(place.desk, None), place.place(place.issue())
    publisher.publish(who="desk")
    timestamp = place.repository / "metadata" / "timestamp.json"
    kept = timestamp.read_bytes()
    place.credentials.revoke(place.member.reference, "clerk")
    publisher.publish(who="clerk")
    timestamp.write_bytes(kept)
    assert verdict(place, gate, spot) is StatusVerdict.VALID
    assert publisher.publish(who="desk").changed
    assert verdict(place, gate, spot) is StatusVerdict.INVALID


def test_a_key_that_is_not_there_or_has_a_password_is_named(place: TrustDesk) -> None:
    key = place.folder / ONLINE_KEY
    place.issue()
    kept = key.rename(place.folder / "kept")
    with pytest.raises(PublishingError, match=r"online\.key\.pem: key cannot be read"):
        Publisher(place.desk, None).publish(who="desk")
    key.write_bytes(kept.read_bytes().replace(b"PRIVATE", b"ENCRYPTED PRIVATE"))
    with pytest.raises(PublishingError, match="the key has a password"):
        Publisher(place.desk, None).publish(who="desk")


def test_a_key_of_the_issuers_that_the_set_does_not_name_is_told(place: TrustDesk) -> None:
    """The set is signed on the stick: a new issuer's key has to go through it first."""
    issuer = Issuer("town", place.desk.issuer.iss, SigningKey.new("ES256"))
    with pytest.raises(PublishingError, match=r"gates would refuse this set: .*no trusted key"):
        Publisher(replace(place.desk, issuer=issuer), None).publish(who="desk")


# --- what offline keys sign ----------------------------------------------------------------------


def test_a_roster_waits_for_the_stick_and_holds_up_no_revocation(
    place: TrustDesk, gate: GateCache, tmp_path: Path
) -> None:
    publisher, spot = Publisher(place.desk, None), place.place(place.issue())
    entries = [RosterEntry(place.member.reference, "town")]
    assert publisher.set_roster("blocked", entries, blocks=True, who="clerk") == 1
    place.credentials.revoke(place.member.reference, "clerk")
    publisher.publish(who="clerk")
    assert verdict(place, gate, spot) is StatusVerdict.INVALID
    state = publisher.state()
    assert (state.changes, state.missing) == (("adds rosters/blocked.roster",), {"targets": 1})

    bundle = tmp_path / "bundle"
    publisher.write_bundle(bundle, who="clerk")
    with pytest.raises(PublishingError, match="no new signature"):
        publisher.take_bundle(bundle, who="clerk")
    Repository(bundle, now=place.clock.now).sign(signers(place.stick, "targets"))
    assert len(publisher.take_bundle(bundle, who="clerk")) == 1
    assert publisher.publish(who="clerk").changed
    (gate.path / "roster.key").write_bytes((place.folder / ROSTER_KEY).read_bytes())
    gate.update(place.repository, now=place.clock.now)
    roster = load_signed(gate.path, place.clock.now).rosters["blocked"]
    assert (roster.blocks, len(roster)) == (True, 1)
    assert publisher.state().missing == {}
    with place.desk.store.read() as connection:
        done = [row.action for row in place.desk.journal.read(connection)][:5]
    assert done[:3] == ["published", "bundle-taken", "bundle-written"]


def test_a_roster_that_can_never_match_is_refused_without_naming_anybody(place: TrustDesk) -> None:
    publisher = Publisher(place.desk, None)
    with pytest.raises(PublishingError, match="members, entry 1: no issuer 'other'") as caught:
        publisher.set_roster(
            "members", [RosterEntry("SECRET1", "other")], blocks=False, who="clerk"
        )
    assert "SECRET1" not in str(caught.value)
    with pytest.raises(PublishingError, match="no name of a trust file"):
        publisher.set_roster("../x", [], blocks=False, who="clerk")
    with pytest.raises(PublishingError, match="not in the set"):
        publisher.remove_roster("members", who="clerk")
    with place.desk.store.read() as connection:
        assert all(row.action != "roster-changed" for row in place.desk.journal.read(connection))


def test_a_draft_that_gates_would_refuse_is_told_after_the_lists_went_out(
    place: TrustDesk, gate: GateCache
) -> None:
    nudge = Heard()
    publisher, spot = Publisher(place.desk, nudge), place.place(place.issue())
    repository = Repository(place.repository, now=place.clock.now)
    repository.add("issuers/broken.pem", b"junk")
    repository.sign(signers(place.stick, "targets"))
    place.credentials.revoke(place.member.reference, "clerk")
    with pytest.raises(
        PublishingError, match="lists are published, the signed draft is not: gates"
    ):
        publisher.publish(who="clerk")
    assert verdict(place, gate, spot) is StatusVerdict.INVALID
    assert nudge.times == 1


def test_the_state_says_until_when_each_signature_holds(place: TrustDesk) -> None:
    state = Publisher(place.desk, None).state()
    days = {role: round((end - place.clock.now) / DAY) for role, end in state.expires.items()}
    assert days == {"root": 730, "targets": 365, "snapshot": 30, "timestamp": 30, "status": 30}
    assert (state.version, state.published_at) == (1, place.clock.now)


def test_the_roster_key_is_one_that_gates_read(place: TrustDesk) -> None:
    assert len(load_key(place.folder / ROSTER_KEY)) == 32


def test_a_list_of_the_largest_size_is_published_quickly(tmp_path: Path) -> None:
    place = TrustDesk(tmp_path, more="[status]\nsize = 262144\n")
    try:
        place.issue()
        place.credentials.revoke(place.member.reference, "clerk")
        begin = time.process_time()
        Publisher(place.desk, None).publish(who="clerk")
        assert time.process_time() - begin < 5
        with place.desk.store.read() as connection:
            assert connection.execute(sa.select(status_lists.c.size)).scalars().all() == [262_144]
    finally:
        place.desk.close()
