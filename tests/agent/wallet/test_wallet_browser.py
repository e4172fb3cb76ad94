"""The wallet's lock, store and exchanges in a real Chromium, against a real desk's issuer."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.credential import registry
from agent.credential.model import Kind, Level
from agent.desk.credentials import Credentials
from agent.desk.desk import Desk
from agent.desk.faces import Faces
from agent.desk.invitations import Invitations
from agent.desk.members import Member, Members
from agent.desk.offers import Offer, Offers, Purpose
from agent.desk.statuses import Status
from agent.desk.tables import credentials
from agent.desk.upgrading import Upgrades
from agent.desk.vci.app import issuer_app
from agent.issuing import issue
from tests.support.browser import Authenticator, launched, listening, serving_on
from tests.support.desks import DAY, DeskClock, a_desk, a_person
from tests.support.pilot import Keys
from tests.support.wallet_site import a_phone, origin_of, wallet_app

FACE = issue.face_template(bytes(range(128)), "face-embed-v1")
PIN = "39485716203948"
_RUN = """async (given) => {
  const [lock, store, vci, clock, places, links, codec, cose] = await Promise.all(
    ["lock", "store", "vci", "clock", "places", "links", "codec", "cose"].map(
      (name) => import(`/${name}.js`)));
  const told = (work) => work.then(() => "done", ({code, detail}) => ({code, ...detail}));
  %s
}"""


@dataclass
class Site:
    """A wallet's origin and a desk's, and the browser before them."""

    browser: Any
    wallet: str
    desk: Desk
    clock: DeskClock
    member: Member
    open: list[Any] = field(default_factory=list)

    def page(self, context: Any = None) -> Any:
        """Return a page with nothing on it; without a context, of a phone of its own."""
        if context is None:
            context = self.browser.new_context()
            self.open.append(context)
        page = context.new_page()
        page.goto(f"{self.wallet}/blank")
        return page

    def offer(self, **changes: Any) -> Offer:
        fields: dict[str, Any] = {
            "purpose": Purpose.ISSUE, "kind": "library-card", "level": 1, "who": "mo",
            "transaction_code": False,
        }  # fmt: skip
        return Offers(self.desk).create(self.member, **fields | changes)

    def statuses(self) -> list[tuple[str, int, int]]:
        """Return holder, level and status of all credentials, in order."""
        with self.desk.store.read() as connection:
            rows = connection.execute(credentials.select().order_by(credentials.c.id)).all()
        return [(row.holder, row.level, row.status) for row in rows]

    def read(self, code: str, **changes: Any) -> Any:
        """Read a code as a gate of the library does."""
        fields: dict[str, Any] = {
            "now": self.clock.now, "clock_trusted": True, "site": "library", "gate": "north",
            "site_keys": (),
        }  # fmt: skip
        keys = Keys(self.desk.issuer.issuer_key(iss=frozenset({self.desk.issuer.iss})))
        rules = registry.ReadRules(**fields | changes)
        return registry.read(code.encode(), keys=keys, rules=rules)


def run(page: Any, body: str, given: Any = None) -> Any:
    """Run a body in a page, with the wallet's modules at hand."""
    return page.evaluate(_RUN % body, given)


def take(page: Any, offer: Offer, **options: Any) -> Any:
    """Take an offer; returns what is kept, or what was told."""
    return run(
        page,
        """try {
          const record = await vci.take(await vci.readOffer(given.text), given.options);
          const {id, kind, notify, refreshToken, credentials} = record;
          return {id, kind, notify, renews: refreshToken !== null,
            thumbprints: credentials.map((one) => one.thumbprint)};
        } catch ({code, detail}) { return {code, ...detail}; }""",
        {"text": offer.uri, "options": options},
    )


def with_pin(page: Any) -> None:
    run(page, "await lock.setUp({method: 'pin', pin: given});", PIN)


def with_device(page: Any) -> None:
    Authenticator(page, prf=True)
    run(page, "await lock.setUp({method: 'device'});")


@pytest.fixture(scope="module")
def site(tmp_path_factory: Any) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("wallet")
    issuer, wallet = listening(), listening()
    web = f'[web]\nissuer = "{origin_of(issuer)}"\nwallet = "{origin_of(wallet)}"'
    clock = DeskClock(int(time.time()))
    desk = a_desk(folder / "desk", clock, more=web)
    member = Members(desk).add(
        a_person("Ada Lovelace", valid_until=clock.now + 400 * DAY, level=2), "mo"
    )
    with (
        contextlib.closing(Faces()) as faces,
        launched() as browser,
        serving_on(issuer, issuer_app(desk, faces=faces)),
        serving_on(wallet, wallet_app([origin_of(issuer)])),
    ):
        yield Site(browser, origin_of(wallet), desk, clock, member)
    desk.close()


@pytest.fixture
def fresh(site: Site) -> Iterator[Site]:
    """The site, with the desk's clock right, and phones that are gone afterwards."""
    site.clock.now = int(time.time())
    yield site
    while site.open:
        site.open.pop().close()


@pytest.fixture
def page(fresh: Site) -> Any:
    return fresh.page()


@pytest.mark.parametrize("prf", [True, False])
def test_a_device_with_and_without_a_secret_locks_and_shows_a_card(fresh, page, prf):
    Authenticator(page, prf=prf)
    assert run(page, "return lock.methods()") == {"device": True, "pin": True}
    made = run(page, "return lock.setUp({method: 'device', label: 'Cards'})")
    assert made == {"method": "device", "prf": prf}
    record = take(page, fresh.offer(), count=2)
    assert (record["kind"], len(record["thumbprints"]), record["notify"]) == (
        "library-card", 2, None,
    )  # fmt: skip
    run(page, "lock.lock()")
    closed = "return told(store.list())"
    assert run(page, closed) == {"code": "locked"}
    page.reload()
    assert run(page, closed) == {"code": "locked"}
    assert run(page, "return store.condition()") == {"kind": "ready", "cards": 1, "lost": 0}
    code = run(
        page,
        """await lock.unlock();
        const {bytes, privateKey} = await store.spend(given.id);
        await told(crypto.subtle.exportKey("pkcs8", privateKey)).then((said) => {
          if (said === "done") throw new Error("the key left");
        });
        return cose.present(bytes, privateKey, {aud: "library/north", iat: given.at});""",
        {"id": record["id"], "at": fresh.clock.now},
    )
    assert fresh.read(code).dynamic


_DUMP = """
const open = indexedDB.open("idgate-wallet");
await new Promise((resolve) => (open.onsuccess = resolve));
const tables = [...open.result.objectStoreNames];
const text = (value) => value instanceof CryptoKey ? {key: value.extractable}
  : value instanceof Uint8Array ? {hex: codec.hex(value)}
  : value && typeof value === "object"
    ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, text(one)])) : value;
const out = {};
for (const table of tables) {
  const asked = open.result.transaction(table).objectStore(table).getAll();
  await new Promise((resolve) => (asked.onsuccess = resolve));
  out[table] = asked.result.map(text);
}
open.result.close();
return out;
"""


@pytest.mark.parametrize("method", ["pin", "device with PRF", "device without"])
def test_nothing_of_a_card_is_readable_in_the_database(fresh, page, method):
    if method == "pin":
        with_pin(page)
    else:
        Authenticator(page, prf=method == "device with PRF")
        run(page, "await lock.setUp({method: 'device'})")
    record = take(page, fresh.offer(), count=1)
    run(page, "await places.rememberPlace(places.readPlace('idgate:library/north'))")
    rows = run(page, _DUMP)
    assert {table: len(found) for table, found in rows.items()} == {
        "holders": 1, "lock": 1, "memory": 1, "records": 1,
    }  # fmt: skip
    inside = run(page, "return codec.hex((await store.list())[0].credentials[0].bytes)")
    written = repr(rows)
    for secret in (inside, record["thumbprints"][0], "library", "town", fresh.member.reference):
        assert secret not in written
        assert secret.encode().hex() not in written
    # Without PRF the keys stand there as the browser keeps them: never to be exported.
    keys = re.findall(r"'key': (\{'key': \w+\})", written)
    assert keys == (["{'key': False}"] * 2 if method == "device without" else [])
    assert ("wrapped" in rows["lock"][0]) is (method != "device without")


def test_a_passkey_that_was_deleted_opens_nothing(fresh, page):
    device = Authenticator(page, prf=True)
    run(page, "await lock.setUp({method: 'device'}); lock.lock();")
    device.clear()
    assert run(page, "return told(lock.unlock())")["code"] == "check_refused"
    assert run(page, "return lock.isLocked()")
    # A passkey of the same device with another secret is of no use either.
    assert run(page, "return told(lock.setUp({method: 'device'}))") == {"code": "already_set_up"}


def test_a_refused_check_leaves_the_wallet_locked(fresh, page):
    device = Authenticator(page, prf=True)
    run(page, "await lock.setUp({method: 'device'}); lock.lock();")
    device.verifies(False)
    assert run(page, "return told(lock.unlock())")["code"] == "check_refused"
    assert run(page, "return told(store.list())") == "done"  # nothing is there to be opened
    assert run(page, "return told(store.remember('x', 1))") == {"code": "locked"}


def test_a_pin_that_is_too_easy_is_refused(page):
    for pin in ("", "12345", "123456", "987654", "777777", "24680a", "1" * 65):
        told = run(page, "return told(lock.setUp({method: 'pin', pin: given}))", pin)
        assert told["code"] == "pin_weak", pin
    assert run(page, "return (await lock.state()).method") is None


def test_wrong_pins_wait_longer_over_restarts_and_the_tenth_wipes(fresh, page):
    page.clock.install(time=fresh.clock.now)
    with_pin(page)
    assert take(page, fresh.offer(), count=1)["kind"] == "library-card"
    attempt = "return told(lock.unlock({pin: given}))"
    waits = run(page, "lock.lock(); return lock.RULES.waits_s")
    assert waits == [0, 0, 0, 5, 15, 30, 60, 300, 900, 3600]
    for number, wait_s in enumerate(waits[:-1], 1):
        assert run(page, attempt, "000001") == {
            "code": "pin_wrong", "left": 10 - number, "wait_s": wait_s,
        }  # fmt: skip
        if wait_s:
            page.reload()
            assert run(page, attempt, PIN)["code"] == "pin_wait"
            page.clock.fast_forward(1_000 * (wait_s + 1))
    assert run(page, attempt, "000001") == {"code": "wiped"}
    assert run(page, "return store.condition()") == {"kind": "evicted", "cards": 0, "lost": 1}
    assert {len(rows) for rows in run(page, _DUMP).values()} == {0}
    run(page, "await store.acknowledge()")
    assert run(page, "return store.condition()")["kind"] == "new"


def test_a_pin_is_changed_and_a_clock_that_goes_back_makes_no_longer_wait(fresh, page):
    page.clock.install(time=fresh.clock.now)
    with_pin(page)
    take(page, fresh.offer(), count=1)
    change = "return told(lock.changePin(given))"
    assert run(page, change, {"pin": "000001", "next": "482915"})["code"] == "pin_wrong"
    assert run(page, change, {"pin": PIN, "next": "111111"})["code"] == "pin_weak"
    assert run(page, change, {"pin": PIN, "next": "482915"}) == "done"
    run(page, "lock.lock()")
    assert run(page, "return told(lock.unlock({pin: given}))", PIN)["code"] == "pin_wrong"
    run(page, "await lock.unlock({pin: given})", "482915")
    assert run(page, "return (await store.list()).length") == 1
    assert run(page, "return (await lock.state()).left") == 10
    run(page, "lock.lock()")
    for _ in range(4):
        run(page, "return told(lock.unlock({pin: given}))", PIN)
    page.clock.set_fixed_time(fresh.clock.now - 400 * DAY)
    assert run(page, "return told(lock.unlock({pin: given}))", PIN) == {
        "code": "pin_wait", "wait_s": 5,
    }  # fmt: skip


def test_it_locks_when_idle_when_hidden_and_at_another_tabs_word(fresh, page):
    page.clock.install(time=fresh.clock.now)
    with_pin(page)
    heard = "lock.watch(); window.heard = 0; lock.onLock(() => (window.heard += 1));"
    run(page, heard)
    page.clock.run_for(59_000)
    page.mouse.move(5, 5)
    page.mouse.down()
    page.mouse.up()
    page.clock.run_for(59_000)
    assert not run(page, "return lock.isLocked()")
    page.clock.run_for(2_000)
    assert run(page, "return lock.isLocked()")
    run(page, "await lock.unlock({pin: given})", PIN)
    run(
        page,
        """Object.defineProperty(document, "visibilityState", {get: () => "hidden"});
        document.dispatchEvent(new Event("visibilitychange"));""",
    )
    assert run(page, "return lock.isLocked()")
    run(page, "await lock.unlock({pin: given})", PIN)
    other = fresh.page(page.context)
    run(other, "lock.lock({everywhere: true})")
    page.wait_for_function("() => window.heard === 3")
    assert run(page, "return lock.isLocked()")


def test_two_tabs_count_each_showing_and_each_try(fresh, page):
    with_pin(page)
    record = take(page, fresh.offer(), count=2)
    other = fresh.page(page.context)
    run(other, "await lock.unlock({pin: given})", PIN)
    many = """window.shown = Promise.all(Array.from({length: 10}, () =>
        store.spend(given).then(({thumbprint}) => thumbprint)));"""
    for tab in (page, other):
        run(tab, many, record["id"])
    shown = [thumb for tab in (page, other) for thumb in run(tab, "return window.shown")]
    assert sorted(map(shown.count, set(shown))) == [10, 10]
    uses = run(page, "return (await store.list())[0].credentials.map((one) => one.uses)")
    assert uses == [10, 10]
    for tab in (page, other):
        run(tab, "lock.lock(); window.tried = told(lock.unlock({pin: '000001'}));")
    left = sorted(run(tab, "return window.tried")["left"] for tab in (page, other))
    assert left == [8, 9]


def test_an_offer_is_refused_with_what_helps(fresh, page):
    with_device(page)
    offer = fresh.offer(transaction_code=True)
    read = run(
        page,
        """const {host, transactionCode, cards, holder} = await vci.readOffer(given);
        return {host, transactionCode, cards: cards.map(({kind}) => kind), holder};""",
        offer.uri,
    )
    assert read == {
        "host": fresh.desk.settings.web.issuer.removeprefix("http://"), "cards": ["library-card"],
        "transactionCode": {"numeric": True, "length": 6, "description": ANY}, "holder": None,
    }  # fmt: skip
    assert take(page, offer)["code"] == "code_needed"
    wrong = f"{(int(offer.transaction_code) + 1) % 1_000_000:06}"
    told = take(page, offer, transactionCode=wrong)
    assert (told["code"], told["left"]) == ("code_wrong", 4)
    spoken = f" {offer.transaction_code[:3]} {offer.transaction_code[3:]}"
    assert take(page, offer, transactionCode=spoken)["kind"] == "library-card"
    assert take(page, offer, transactionCode=spoken)["code"] == "offer_used"
    guessed = fresh.offer(transaction_code=True)
    codes = [take(page, guessed, transactionCode="------")["code"] for _ in range(6)]
    assert codes == ["code_wrong"] * 4 + ["offer_locked"] * 2
    late = fresh.offer()
    fresh.clock.now += 601
    assert take(page, late)["code"] == "offer_expired"
    killed = fresh.offer()
    Offers(fresh.desk).kill(killed.id, who="mo")
    assert take(page, killed)["code"] == "offer_gone"
    never = fresh.desk.settings.web.issuer + "/offers/never"
    assert run(page, "return told(vci.readOffer(given))", never)["code"] == "offer_gone"


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


ANY = _Any()


def test_nothing_is_asked_of_an_unknown_issuer(fresh, page):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for text in (
        "openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fevil.test%2Foffers%2F1",
        "http://localhost:9/#credential_offer_uri=http%3A%2F%2Flocalhost%3A9%2Foffers%2F1",
        'openid-credential-offer://?credential_offer={"credential_issuer":"https://evil.test"}',
    ):
        told = run(page, "return told(vci.readOffer(given))", text)
        assert told == {"code": "unknown_issuer", "host": ANY}
    assert {url.rpartition("/")[0] for url in asked} == {fresh.wallet}


_CODE = """
const {place} = links.readLink(given.link);
const {bytes, privateKey} = await store.spend(given.id);
const {audience: aud, cnonce} = place;
return cose.present(bytes, privateKey, {aud, cnonce, iat: given.at});
"""


def test_an_upgrade_takes_the_same_key_and_the_basic_cards_place(fresh, page):
    with_device(page)
    basic = take(page, fresh.offer(), count=3)
    upgrades = Upgrades(fresh.desk)
    asked = upgrades.challenge()
    showing = {"id": basic["id"], "link": asked.link, "at": fresh.clock.now}
    shown = upgrades.read_presentation(run(page, _CODE, showing), challenge=asked.nonce)
    assert (shown.member, shown.holder in basic["thumbprints"]) == (fresh.member, True)
    offer = upgrades.offer(
        shown, who="mo", evidence="passport", references=(FACE,), transaction_code=False
    )
    stranger = fresh.page()
    with_device(stranger)
    assert take(stranger, offer) == {"code": "key_missing"}
    upgraded = take(page, offer)
    assert upgraded["thumbprints"] == [shown.holder]
    assert run(page, "return (await store.list()).map(({id}) => id)") == [upgraded["id"]]
    mine = [row for row in fresh.statuses() if row[0] in basic["thumbprints"]]
    assert sorted(mine) == sorted(
        [
            *((thumb, 1, Status.REVOKED) for thumb in basic["thumbprints"]),
            (shown.holder, 2, Status.VALID),
        ]
    )
    # Renewed over the air the card has the face again, which the desk has not kept.
    run(page, "await vci.refresh(given)", {"id": upgraded["id"]})
    gate = f"{fresh.wallet}/#place=library%2Fnorth"
    code = run(page, _CODE, {**showing, "id": upgraded["id"], "link": gate})
    read = fresh.read(code)
    assert (read.level, [one.data for one in read.references]) == (Level.UPGRADED, [FACE.data])


def test_a_card_of_another_kind_for_the_same_key_stands_beside_and_keeps_the_key(fresh, page):
    with_device(page)
    card = take(page, fresh.offer(), count=3)
    holder = card["thumbprints"][2]
    beside = take(page, fresh.offer(kind="online-id", holder=holder))
    assert beside["thumbprints"] == [holder]
    kept = sorted(run(page, "return (await store.list()).map(({id}) => id)"))
    assert kept == sorted([card["id"], beside["id"]])
    renewed = run(
        page,
        "return (await vci.refresh(given)).credentials.map((one) => one.thumbprint)",
        {"id": card["id"]},
    )
    assert {*renewed} & {*card["thumbprints"]} == {card["thumbprints"][0], holder}
    # The key stays for the other card when the first is deleted.
    run(page, "await vci.discard(given)", {"id": card["id"]})
    assert run(page, "return told(store.spend(given))", beside["id"]) == "done"


def test_a_card_is_renewed_over_the_air_until_it_is_revoked(fresh, page):
    with_device(page)
    first = take(page, fresh.offer(), count=3)
    due = "return vci.isDue(await store.get(given.id), given.at)"
    now = fresh.clock.now
    assert not run(page, due, {"id": first["id"], "at": now})
    assert run(page, due, {"id": first["id"], "at": now + 80 * DAY})
    renewed = run(
        page,
        """const {credentials, notify} = await vci.refresh(given);
        return {notify, thumbprints: credentials.map((one) => one.thumbprint),
          uses: credentials.map((one) => one.uses)};""",
        {"id": first["id"]},
    )
    old, new = first["thumbprints"], renewed["thumbprints"]
    # The first key is known to the desk again; the others are new to every gate.
    assert (new[0], len(new), renewed["uses"]) == (old[0], 3, [0, 0, 0])
    assert not {*new[1:]} & {*old}
    assert renewed["notify"] is None
    Credentials(fresh.desk).revoke(fresh.member.reference, "mo")
    told = run(page, "return told(vci.refresh(given))", {"id": first["id"]})
    assert told["code"] == "refresh_refused"
    assert run(page, "return (await store.get(given)).credentials.length", first["id"]) == 3


def test_what_a_lost_answer_cut_off_is_finished_after_a_restart(fresh, page):
    with_device(page)
    page.route("**/credential", lambda route: route.abort())
    assert take(page, fresh.offer(), count=2)["code"] == "offline"
    page.unroute("**/credential")
    page.reload()
    assert run(page, "return told(vci.resume())") == {"code": "locked"}
    run(page, "await lock.unlock()")
    assert run(page, "return (await vci.resume()).credentials.length") == 2
    assert run(page, "return vci.resume()") is None
    assert run(page, "return (await store.list()).length") == 1


def test_a_restart_keeps_the_card_and_the_phones_disk_tells_nothing(fresh, tmp_path):
    offer = fresh.offer()
    with a_phone(fresh.browser, tmp_path) as phone:
        page = fresh.page(phone)
        with_pin(page)
        record = take(page, offer, count=1)
        kept = run(
            page,
            """const {credentials: [{bytes}], refreshToken} = await store.get(given);
            return [codec.hex(bytes), codec.base64url(bytes), refreshToken];""",
            record["id"],
        )
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"idgate-wallet" in written
    raw, text, renewing = kept
    for secret in (
        bytes.fromhex(raw), text.encode(), renewing.encode(), offer.code.encode(), PIN.encode(),
        fresh.member.reference.encode(), record["thumbprints"][0].encode(),
        b"Town Library", b"urn:idgate:issuer:town",
    ):  # fmt: skip
        assert secret not in written
    with a_phone(fresh.browser, tmp_path) as phone:
        page = fresh.page(phone)
        assert run(page, "return told(store.list())") == {"code": "locked"}
        run(page, "await lock.unlock({pin: given})", PIN)
        gate = {"id": record["id"], "link": "idgate:library/north", "at": fresh.clock.now}
        assert fresh.read(run(page, _CODE, gate)).dynamic


def test_a_word_that_could_not_be_said_is_said_later_and_deleting_tells_the_desk(fresh, page):
    with_device(page)
    page.route("**/notification", lambda route: route.abort())
    offer = fresh.offer()
    record = take(page, offer, count=1)
    assert record["notify"]["event"] == "credential_accepted"
    assert not Offers(fresh.desk).state(offer.id).acknowledged
    page.unroute("**/notification")
    run(page, "await vci.tell()")
    assert Offers(fresh.desk).state(offer.id).acknowledged
    assert run(page, "return (await store.list())[0].notify") is None
    run(page, "await vci.discard(given)", {"id": record["id"]})
    assert (record["thumbprints"][0], 1, Status.REVOKED) in fresh.statuses()
    assert run(page, "return store.condition()") == {"kind": "ready", "cards": 0, "lost": 0}


def test_an_invitation_brings_a_card_that_one_makes_oneself(fresh, page):
    with_device(page)
    link = Invitations(fresh.desk).create(Kind.LIBRARY_CARD, 1, who="mo")
    answer = """
    const invitation = await import("/invitation.js");
    const asked = await invitation.readInvitation(given.link);
    const pictures = given.pictures?.map(codec.utf8);
    const consent = {given: true, biometric: true};
    const form = {name: "Grace Hopper", language: "es", consent, pictures, ...given.form};
    const work = invitation.answer(asked, form);
    return [asked.kind, asked.fields, asked.face, asked.turns.length,
      await told(work.then((offer) => vci.take(offer)))];"""
    fields = [{"name": "name", "required": True}, {"name": "email", "required": False}]
    asked = ["library-card", fields, "optional", ANY]
    for form, pictures, code, wrong in (
        ({"name": ""}, None, "form_refused", "name"),
        ({"email": "nobody"}, None, "form_refused", "email"),
        ({}, ["no JPEG"], "picture_refused", None),
    ):
        *same, said = run(page, answer, {"link": link, "form": form, "pictures": pictures})
        assert (same, said["code"], said.get("field")) == (asked, code, wrong)
    assert run(page, answer, {"link": link, "form": {}}) == [*asked, "done"]
    assert run(page, "return (await store.list()).map(({kind}) => kind)") == ["library-card"]
    gone = run(
        page, f"const work = (async () => {{ {answer} }})(); return told(work);", {"link": link}
    )
    assert gone["code"] == "invitation_gone"


def test_cards_that_the_browser_evicted_are_told(fresh, page):
    with_device(page)
    take(page, fresh.offer(), count=1)
    link = page.context.new_cdp_session(page)
    link.send("Storage.clearDataForOrigin", {"origin": fresh.wallet, "storageTypes": "indexeddb"})
    page.reload()
    assert run(page, "return store.condition()") == {"kind": "evicted", "cards": 0, "lost": 1}
    assert run(page, "return lock.state()")["method"] is None


def test_the_phones_clock_is_compared_with_the_hosts(page):
    for skew_s in (0, 40, -3_600):
        page.clock.set_system_time(time.time() + skew_s)
        said = run(page, "return clock.checkClock('/blank')")
        assert said["seconds"] == pytest.approx(-skew_s, abs=2.5)
        assert said["told"] is (skew_s != 0)
        assert run(page, "return clock.now()") == pytest.approx(time.time(), abs=2.5)
    page.context.set_offline(True)
    assert run(page, "return clock.checkClock('/blank')") == said  # what was found serves on
    page.context.set_offline(False)


LINKS: list[tuple[str, Any]] = [
    ("idgate:library/north?cnonce=00112233445566778899", "library/north 00112233445566778899 null"),
    ("IDGATE:library", "library null null"),
    ("https://w.test/#place=library%2Fnorth&cnonce=0011223344556677", "library/north 0011223344556677 null"),
    ("#place=library", "library null null"),
    ("idgate:library/north?cnonce=0011223344556677&need=age-18,face", "library/north 0011223344556677 age-18,face"),
    ("#place=library&need=face%2Cname%2Cface", "library null face,name"),
    ("idgate:library?need=", "library null "),
    ("idgate:library?need=shoe-size", "library null shoe-size"),
    ("idgate:library?need=,", "place_refused"),
    ("idgate:library?need=face,<b>", "place_refused"),
    ("idgate:library?need=" + ",".join(f"age-{age}" for age in range(1, 18)), "place_refused"),
    ("https://w.test/#invitation=https%3A%2F%2Fd.test%2Finvitations%2F1", "invitation"),
    ("https://d.test/invitations/1", "invitation"),
    ("https://w.test/#credential_offer_uri=https%3A%2F%2Fd.test%2Foffers%2F1", "offer"),
    ("openid-credential-offer://?credential_offer=%7B%7D", "offer"),
    ("idgate:*", "place_refused"),
    ("idgate:library/*", "place_refused"),
    ("idgate:group.*", "place_refused"),
    ("idgate:a/b/c", "place_refused"),
    ("idgate:library?cnonce=00", "place_refused"),
    ("idgate:library?cnonce=zz112233445566778899", "place_refused"),
    ("https://evil.test/", "not_ours"),
    ("javascript:alert(1)", "not_ours"),
    ("hello", "not_ours"),
    ("x" * 9_000, "not_ours"),
]  # fmt: skip


def test_texts_are_told_apart(page):
    said = run(
        page,
        """return given.map((text) => {
          try {
            const {what, place} = links.readLink(text);
            return place ? `${place.audience} ${place.cnonce && codec.hex(place.cnonce)} ${place.needs}` : what;
          } catch (error) { return error.code; }
        })""",
        [text for text, _ in LINKS],
    )
    assert list(zip([text for text, _ in LINKS], said, strict=True)) == LINKS


def test_a_challenge_is_answered_for_a_minute_and_not_remembered(page):
    with_device(page)
    said = run(
        page,
        """const place = places.readPlace("idgate:library/north?cnonce=0011223344556677&need=face", 1000);
        await places.rememberPlace(place);
        const {audience, cnonce, needs} = await places.lastPlace();
        await store.remember("place", "library/south"); // as an older version of the page did
        const before = await places.lastPlace();
        return [places.isFresh(place, 1059), places.isFresh(place, 1060),
          places.isFresh(place, 900), audience, cnonce, needs, before.audience, before.needs];""",
    )
    assert said == [
        True, False, False, "library/north", None, ["face"], "library/south", None,
    ]  # fmt: skip
