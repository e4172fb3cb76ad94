"""The page of the trust set: publishing, rosters, and the bundle there and back."""

from __future__ import annotations

import io
import random
import time
import zipfile

import pytest

from agent.desk.publishing import Publisher
from agent.desk.staff import Role
from agent.trust.publish import Repository
from agent.trust.signing_keys import load_signer
from tests.support.desk_seats import seats_of
from tests.support.trust_desks import TrustDesk


@pytest.fixture
def place(tmp_path):
    made = TrustDesk(tmp_path, more="[status]\nsize = 1024\n")
    yield made
    made.desk.close()


@pytest.fixture
def issuer(place):
    with seats_of(place.desk, Publisher(place.desk, None)) as seats:
        seat = seats.of(Role.ISSUER)
        seat.seats = seats
        yield seat


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


def bring(seat, data, name="bundle.zip"):
    return seat.post("/publish/signed", files={"bundle": (name, data, "application/zip")})


def test_publish_and_the_journal(place, issuer):
    place.issue()
    place.credentials.revoke(place.member.reference, "x")
    got = issuer.post("/publish")
    assert got.status_code == 200
    assert "Version 2" in got.text
    assert issuer.seats.journal()[0][:2] == (issuer.name, "published")
    assert "nothing was new" in issuer.post("/publish").text


def test_roster_goes_out_and_comes_back_signed(place, issuer, tmp_path):
    got = issuer.post(
        "/publish/roster", data={"name": "blocked", "references": place.member.reference}
    )
    assert "blocked: 1 records" in got.text
    page = issuer.get("/publish").text
    assert "adds rosters/blocked.roster" in page
    assert "targets: 1" in page
    given = issuer.post("/publish/bundle")
    assert given.headers["content-disposition"] == 'attachment; filename="bundle.zip"'
    folder = tmp_path / "other machine"
    with zipfile.ZipFile(io.BytesIO(given.content)) as packed:
        packed.extractall(folder)
    unsigned = bring(issuer, given.content)
    assert unsigned.status_code == 422

    def no_password(_):
        raise AssertionError

    key = load_signer(place.stick / "targets-1.pem", no_password)
    Repository(folder, now=int(time.time())).sign([key])
    files = {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
    taken = bring(issuer, zipped(files))
    assert "Signatures were taken: targets" in taken.text
    assert "Version" in issuer.post("/publish").text
    assert "Nothing waits" in issuer.get("/publish").text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"name": "members"}, 200),
        ({"name": "../x"}, 400),
        ({}, 400),
        ({"name": "staff", "references": "NOBODY"}, 422),
    ],
)
def test_rosters(issuer, form, status):
    assert issuer.post("/publish/roster", data=form).status_code == status


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no zip", zipped({}), zipped({"../../evil": b"x"}), zipped({"/tmp/evil": b"x"}),
        zipped({"a\\..\\b": b"x"}), zipped({f"{n}": b"" for n in range(4_100)}),
        zipped({"large": bytes(49 << 20)}), zipped({"metadata/root.json": b"{}"}),
        zipped({"metadata": b"x", "metadata/root.json": b"{}"}),
    ],
    ids=["empty", "no zip", "nothing in it", "above", "absolute", "backslashes", "many", "bomb",
         "no metadata", "file and folder"],
)  # fmt: skip
def test_bundle_that_is_none(issuer, tmp_path, data):
    got = bring(issuer, data, "../../bundle.zip")
    assert got.status_code in {400, 422}
    assert not list(tmp_path.rglob("evil"))
    assert issuer.seats.journal()[0][1] != "bundle-taken"


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_bundle_that_is_damaged_is_refused_wherever_it_is(issuer, method):
    """A bit here and there: each decoder has errors of its own, and none is a fault of the desk."""
    whole, rng = io.BytesIO(), random.Random(method)
    with zipfile.ZipFile(whole, "w", method) as packed:
        packed.writestr("metadata/1.root.json", bytes(range(256)) * 4)
    for _ in range(60):
        data = bytearray(whole.getvalue())
        for _ in range(rng.choice((1, 2, 4))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        assert bring(issuer, bytes(data)).status_code in {400, 422}


def test_desk_that_publishes_nothing_says_so(desk):
    with seats_of(desk) as seats:
        seat = seats.of(Role.ISSUER)
        assert "publishes nothing by itself" in seat.get("/publish").text
        assert seat.post("/publish").status_code == 422
        assert seat.post("/publish/bundle").status_code == 422
