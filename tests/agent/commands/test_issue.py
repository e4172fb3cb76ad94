"""`idgate issue` and the QR codes that it makes, from key to decision."""

from __future__ import annotations

import base64
import io
import json
import stat
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import zxingcpp
from cryptography.hazmat.primitives import serialization
from PIL import Image

from agent.cli import main
from agent.credential import base45, inflate, keys
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import Kind, Level
from agent.issuing import issue
from agent.trust.directory import load_directory

NOW = 1_800_000_000
ALGORITHMS = ("ES256", "ES384", "EdDSA", "PS256", "SM2")


def _idgate(*words: object) -> int:
    return main(["issue", *map(str, words)])


def _trusted(folder: Path, name: str) -> IssuerKey:
    table = tomllib.loads((folder / f"{name}.toml").read_text())
    return keys.issuer_key(
        (folder / f"{name}.pem").read_bytes(),
        issuer=table["issuer"],
        algorithm=Algorithm(table["algorithm"]),
        iss=frozenset(table["iss"]),
        kinds=frozenset(map(Kind, table.get("kinds", ()))),
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_whole_way_by_command_line(pilot, tmp_path, capsys, algorithm):
    out = tmp_path / "pilot"
    assert (
        _idgate("key", "city", "--out", out, "--algorithm", algorithm, "--kind", "online-id") == 0
    )
    assert _idgate("key", "rail", "--out", out, "--iss", "https://rail.example") == 0
    assert _idgate("key", "phone", "--out", out, "--holder") == 0
    face = tmp_path / "face.bin"
    face.write_bytes(bytes(range(128)))
    credential, ticket = tmp_path / "card.cbor", tmp_path / "ticket.cbor"
    code, png = tmp_path / "code.txt", tmp_path / "code.png"
    site_key = tmp_path / "site.key"
    site_key.write_bytes(b"k" * 32)
    assert _idgate(
        "credential", "--issuer", out / "city.key.pem", "--holder", out / "phone.key.pem",
        "--subject", "42", "--level", 2, "--birth-date", "1990-02-28", "--region", "CN-BJ",
        "--face", face, "--face-model", "face-128", "--at", NOW - 60, "--valid-days", 1,
        "--status", "https://city.example/status#7", "--out", credential,
    ) == 0  # fmt: skip
    assert _idgate(
        "ticket", "--issuer", out / "rail.key.pem", "--holder", out / "phone.key.pem",
        "--subject", "p", "--at", NOW - 60, "--detail", "train=G1", "--out", ticket,
    ) == 0  # fmt: skip
    assert _idgate(
        "present", credential, "--holder", out / "phone.key.pem", "--aud", "station/g1",
        "--at", "2027-01-15T08:00:00+00:00", "--challenge", "0a0b", "--ticket", ticket,
        "--site-key", site_key, "--png", png, "--out", code,
    ) == 0  # fmt: skip
    trust = pilot.trusting(_trusted(out / "trust", "city"), _trusted(out / "trust", "rail"))
    read = pilot.read(code.read_text(), keys=trust, challenge=b"\x0a\x0b")
    assert (read.issuer, read.subject, read.level) == ("city", "42", Level.UPGRADED)
    assert (read.birth_date, read.presented_at) == ("1990-02-28", NOW)
    assert (read.status.uri, read.status.index) == ("https://city.example/status", 7)
    assert read.references[0].data == bytes(range(128))
    assert (read.business.issuer, read.business.claims) == ("rail", {"train": "G1"})
    assert _decoded(png.read_bytes()) == code.read_text()


def test_a_picture_and_a_finger_template(pilot, tmp_path):
    picture, finger, card = tmp_path / "face.webp", tmp_path / "finger.bin", tmp_path / "card.cbor"
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(picture)
    finger.write_bytes(b"template")
    assert _idgate("key", "city", "--out", tmp_path) == 0
    words = ("--finger", finger, "--finger-family", "r307", "--finger-position", 56)
    signed = ("--issuer", tmp_path / "city.key.pem", "--subject", "1", "--at", NOW, "--out", card)
    assert _idgate("credential", *signed, "--face", picture, *words) == 0
    trust = pilot.trusting(_trusted(tmp_path / "trust", "city"))
    finger_read, face_read = pilot.read(issue.present(card.read_bytes()), keys=trust).references
    assert (finger_read.data, finger_read.issuer, finger_read.position) == (b"template", "r307", 56)
    assert (face_read.data, face_read.form) == (picture.read_bytes(), "image")


def _decoded(png: bytes) -> str:
    image = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    return zxingcpp.read_barcode(image).text


def test_the_text_is_printed_where_no_file_is_asked(tmp_path, capsys):
    assert _idgate("key", "city", "--out", tmp_path) == 0
    card = tmp_path / "card.cbor"
    assert (
        _idgate(
            "credential", "--issuer", tmp_path / "city.key.pem", "--subject", "1", "--out", card
        )
        == 0
    )
    capsys.readouterr()
    assert _idgate("present", card) == 0
    assert capsys.readouterr().out.startswith("NI2:")


def test_private_keys_are_the_owners_alone_and_never_overwritten(tmp_path, capsys):
    assert _idgate("key", "city", "--out", tmp_path) == 0
    private = tmp_path / "city.key.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    assert _idgate("key", "city", "--out", tmp_path) == 2
    assert private.read_bytes() == before
    assert "city.key.pem" in capsys.readouterr().err
    for file in (tmp_path / "trust").iterdir():
        assert b"PRIVATE" not in file.read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("present", "nosuch.cbor"),
        ("present", "junk.bin"),
        ("present", "card.cbor", "--site-key", "short.key"),
        ("present", "card.cbor", "--ticket", "junk.bin"),
        ("present", "card.cbor", "--ticket", "card.cbor"),
        ("present", "card.cbor", "--holder", "junk.bin"),
        ("present", "card.cbor", "--challenge", "00"),
        ("credential", "--issuer", "junk.bin", "--subject", "1", "--out", "x"),
        ("credential", "--issuer", "city.key.pem", "--subject", "", "--out", "x"),
        (
            "credential",
            "--issuer",
            "city.key.pem",
            "--subject",
            "1",
            "--out",
            "x",
            "--face",
            "face.bin",
        ),
        (
            "credential",
            "--issuer",
            "city.key.pem",
            "--subject",
            "1",
            "--out",
            "x",
            "--face",
            "junk.bin",
        ),
        ("key", "phone", "--out", ".", "--holder", "--algorithm", "SM2"),
        ("key", "phone", "--out", ".", "--holder", "--algorithm", "PS256"),
    ],
)
def test_unusable_input_is_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert _idgate("key", "city", "--out", ".") == 0
    assert (
        _idgate("credential", "--issuer", "city.key.pem", "--subject", "1", "--out", "card.cbor")
        == 0
    )
    Path("junk.bin").write_bytes(b"\xffjunk")
    Path("face.bin").write_bytes(bytes(128))
    Path("short.key").write_bytes(b"k" * 31)
    capsys.readouterr()
    assert _idgate(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("idgate issue: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--issuer", "locked.pem"), "locked.pem: the key has a password"),
        (("--issuer", "junk.pem"), "junk.pem: no private key in PEM"),
        (("--issuer", "nameless.pem"), "nameless.toml: it must name issuer and iss"),
        (("--face", "large.png"), "large.png: 65545 bytes; gates take a picture of at most 65536"),
    ],
)
def test_what_no_gate_would_read_is_not_signed(tmp_path, capsys, monkeypatch, more, told):
    monkeypatch.chdir(tmp_path)
    assert _idgate("key", "city", "--out", ".") == 0
    key = serialization.load_pem_private_key(Path("city.key.pem").read_bytes(), None)
    under_password = serialization.BestAvailableEncryption(b"x")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    Path("locked.pem").write_bytes(key.private_bytes(*form, under_password))
    Path("nameless.pem").write_bytes(Path("city.key.pem").read_bytes())
    Path("nameless.toml").write_text('issuer = "city"\n')
    Path("junk.pem").write_bytes(b"junk")
    Path("large.png").write_bytes(b"\x89PNG" + bytes(65_541))
    capsys.readouterr()
    words = ["--issuer", "city.key.pem", "--subject", "1", "--out", "x", *more]
    assert _idgate("credential", *words) == 2
    assert told in capsys.readouterr().err
    assert not Path("x").exists()


def test_a_region_that_no_gate_reads_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as left:
        _idgate("credential", "--issuer", "k", "--subject", "1", "--out", "x", "--region", "Berlin")
    assert left.value.code == 2
    assert "'Berlin' is no ISO 3166-2 code" in capsys.readouterr().err


def test_an_operators_key_is_believed_for_its_roles(tmp_path, capsys):
    words = ("key", "duty", "--out", tmp_path, "--operator")
    assert _idgate(*words) == 2
    assert "--role" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert _idgate(*words, "--role", "open", "--role", "mode") == 0
    private = issue.SigningKey.from_file(tmp_path / "duty.key.pem")
    (operator,) = load_directory(tmp_path / "trust", now=NOW).operators
    assert operator.name == "duty"
    assert operator.roles == {"open", "mode"}
    assert operator.kid == keys.public_key_kid(private.public)


@pytest.mark.parametrize("words", [(), ("key",), ("credential", "--subject", "1"), ("nonsense",)])
def test_usage(words, capsys):
    with pytest.raises(SystemExit) as left:
        _idgate(*words)
    assert left.value.code == 2


def test_a_phones_public_key_is_enough(pilot, tmp_path, capsys):
    assert _idgate("key", "city", "--out", tmp_path) == 0
    public, jwk = tmp_path / "phone.pem", tmp_path / "phone.jwk"
    public.write_bytes(pilot.holder.key.public_pem())
    key = pilot.holder.cose_key()
    x, y = (base64.urlsafe_b64encode(key[part]).rstrip(b"=").decode() for part in (-2, -3))
    jwk.write_text(json.dumps({"kty": "EC", "crv": "P-256", "x": x, "y": y}))
    for file in (public, jwk):
        card = tmp_path / f"{file.name}.cbor"
        words = ("--issuer", tmp_path / "city.key.pem", "--subject", "1", "--at", NOW)
        assert _idgate("credential", *words, "--holder", file, "--out", card) == 0
        trust = pilot.trusting(_trusted(tmp_path / "trust", "city"))
        assert pilot.read(pilot.dynamic(card.read_bytes()), keys=trust).subject == "1"
    capsys.readouterr()
    assert _idgate("present", card, "--holder", public) == 2
    assert capsys.readouterr().err == f"idgate issue: {public}: no private key in PEM\n"


def test_a_code_for_paper_is_denser(tmp_path):
    assert _idgate("key", "city", "--out", tmp_path) == 0
    card, issuer = tmp_path / "card.cbor", tmp_path / "city.key.pem"
    assert _idgate("credential", "--issuer", issuer, "--subject", "s" * 200, "--out", card) == 0
    screen, paper = tmp_path / "screen.png", tmp_path / "paper.png"
    assert _idgate("present", card, "--png", screen, "--out", tmp_path / "screen") == 0
    assert _idgate("present", card, "--png", paper, "--paper", "--out", tmp_path / "paper") == 0
    texts = [(tmp_path / name).read_text() for name in ("screen", "paper")]
    assert [inflate.is_zlib(base45.decode(text[4:].encode())) for text in texts] == [False, True]
    assert [_decoded(png.read_bytes()) for png in (screen, paper)] == texts


def test_a_long_finger_template_is_refused_by_name_of_where_it_stays(tmp_path, capsys):
    assert _idgate("key", "city", "--out", tmp_path) == 0
    finger, card = tmp_path / "finger.bin", tmp_path / "card.cbor"
    finger.write_bytes(bytes(1_536))
    words = ("--issuer", tmp_path / "city.key.pem", "--subject", "1", "--finger", finger)
    assert _idgate("credential", *words, "--out", card) == 2
    assert "stays in the gate's module" in capsys.readouterr().err
    assert not card.exists()


def test_a_status_list_is_signed_and_read(tmp_path, capsys):
    assert _idgate("key", "city", "--out", tmp_path) == 0
    out, uri = tmp_path / "list.cwt", "https://city.example/status/1"
    words = ("status", "--issuer", tmp_path / "city.key.pem", "--uri", uri, "--at", NOW)
    assert _idgate(*words, "--revoke", 7, "--suspend", 9, "--size", 1024, "--out", out) == 0
    (tmp_path / "trust" / "status").mkdir()
    (tmp_path / "trust" / "status" / "list.cwt").write_bytes(out.read_bytes())
    (found,) = load_directory(tmp_path / "trust", now=NOW).status_lists
    assert (found.uri, len(found), [found.value(index) for index in (7, 8, 9)]) == (
        uri, 1024, [1, 0, 2],
    )  # fmt: skip
    capsys.readouterr()
    assert _idgate(*words, "--revoke", 1024, "--size", 1024, "--out", out) == 2
    assert "outside a list of --size 1024" in capsys.readouterr().err


def _card(folder: Path, *more: object) -> Path:
    """Sign a card for a phone; return its file, beside `phone.key.pem`."""
    assert _idgate("key", "city", "--out", folder) == 0
    assert _idgate("key", "phone", "--out", folder, "--holder") == 0
    card = folder / "card.cbor"
    words = (
        "credential", "--issuer", folder / "city.key.pem", "--holder", folder / "phone.key.pem",
        "--subject", "10023456", "--out", card,
    )  # fmt: skip
    assert _idgate(*words, *more) == 0
    return card


@pytest.mark.parametrize("version", [1, 2])
def test_the_version_of_a_fleet(tmp_path, capsys, version):
    card = _card(tmp_path, "--profile-version", version)
    ticket = tmp_path / "ticket.cbor"
    words = (
        "ticket",
        "--issuer",
        tmp_path / "city.key.pem",
        "--subject",
        "10023456",
        "--out",
        ticket,
    )
    assert _idgate(*words, "--profile-version", version) == 0
    assert [issue.version_of(file.read_bytes()) for file in (card, ticket)] == [version] * 2
    capsys.readouterr()
    phone = tmp_path / "phone.key.pem"
    assert _idgate("present", card, "--holder", phone, "--ticket", ticket) == 0
    assert capsys.readouterr().out.startswith(f"NI{version}:")


def test_a_phone_tells_what_is_asked(pilot, tmp_path, capsys):
    card = _card(
        tmp_path, "--birth-date", "1990-02-28", "--age-over", 18, "--age-over", 21,
        "--redact", "birth-date", "--redact", "ages",
    )  # fmt: skip
    trust = pilot.trusting(_trusted(tmp_path / "trust", "city"))
    for needs, ages, birth_date, kept in (
        ((), {18, 21}, None, 1),
        (("age-18",), {18}, None, 2),
        (("age-19", "birth-date"), {21}, "1990-02-28", 1),
        (("face",), set(), None, 3),
    ):
        capsys.readouterr()
        asked = [word for need in needs for word in ("--need", need)]
        words = ("present", card, "--holder", tmp_path / "phone.key.pem", *asked)
        assert _idgate(*words) == 0
        read = pilot.read(capsys.readouterr().out.strip(), keys=trust, now=int(time.time()))
        assert (read.ages, read.birth_date, read.undisclosed) == (ages, birth_date, kept)


def test_a_code_is_drawn_with_what_it_is(tmp_path, capsys):
    card, png = _card(tmp_path), tmp_path / "code.png"
    words = ("present", card, "--holder", tmp_path / "phone.key.pem", "--aud", "library/main")
    capsys.readouterr()
    assert _idgate(*words, "--png", png, "--distance", 31) == 0
    assert capsys.readouterr().out == (
        f"{png}: QR version 10-L, 57 modules a side; read from about 31 cm (computed: 55 mm wide, "
        "a camera of 66 degrees and 1280 pixels, 3 of them a module)\n"
    )


def test_a_code_that_is_not_read_so_far_away_is_not_drawn(tmp_path, capsys):
    card, png = _card(tmp_path), tmp_path / "code.png"
    words = ("present", card, "--holder", tmp_path / "phone.key.pem", "--aud", "library/main")
    capsys.readouterr()
    assert _idgate(*words, "--png", png, "--distance", 32) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("idgate issue: QR version 10-L, 57 modules a side; ")
    assert told.err.endswith(", and not from 32 cm\n")
    assert not png.exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--redact", "face", "--profile-version", 1), "ages and redacted claims need version 2"),
        (("--age-over", 18, "--profile-version", 1), "ages and redacted claims need version 2"),
        (("--redact", "face"), "redacted claims need a holder"),
    ],
)
def test_what_a_version_cannot_say(tmp_path, capsys, more, told):
    assert _idgate("key", "city", "--out", tmp_path) == 0
    words = ("credential", "--issuer", tmp_path / "city.key.pem", "--subject", "1")
    assert _idgate(*words, "--out", tmp_path / "card.cbor", *more) == 2
    assert told in capsys.readouterr().err


def test_a_word_that_no_place_asks_with(tmp_path, capsys):
    card = _card(tmp_path)
    with pytest.raises(SystemExit) as left:
        _idgate("present", card, "--need", "photo")
    assert left.value.code == 2
    assert "'photo' is no need; known: birth-date, face" in capsys.readouterr().err
