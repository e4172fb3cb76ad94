"""docs/issuing.md: its bytes are parsed and verified, its program is run, its commands are carried out."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent import cli
from agent.credential import base45, cbor, registry
from agent.credential.model import FormatName, Kind, Rejected
from agent.credential.numbers import KINDS
from agent.issuing import issue
from agent.issuing.batch import COLUMNS
from agent.reason import Reason
from agent.trust.directory import load_directory
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/issuing.md").read_text("utf-8")
BLOCKS = {
    (verb, name): body
    for verb, name, body in re.findall(
        r"<!-- (bytes|code|file): (\S+) -->\n```\w+\n(.*?)```\n", PAGE, re.DOTALL
    )
}
SHOWN_AT = 1_800_000_000


def listed(name: str) -> bytes:
    """Return the bytes of an annotated listing."""
    lines = (line.split("#", 1)[0] for line in BLOCKS["bytes", name].splitlines())
    return bytes.fromhex("".join(lines))


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    folder = tmp_path / "trust"
    folder.mkdir()
    for name in ("example.pem", "example.toml"):
        (folder / name).write_text(BLOCKS["file", name])
    return folder


def read(text: str, trust: Path, *, now: int, gate: str = "main-entrance"):
    rules = registry.ReadRules(now=now, clock_trusted=True, site="central-library", gate=gate)
    return registry.read(text.encode(), keys=load_directory(trust, now=now), rules=rules)


def test_the_codes_are_the_bytes_listed() -> None:
    for code, message in (("dynamic", "presentation"), ("static", "credential")):
        text = BLOCKS["code", code].strip("\n")
        assert text.startswith("NI2:")
        assert base45.decode(text[4:].encode()) == listed(message)


def test_the_comments_say_what_the_bytes_are() -> None:
    tagged = cbor.decode(listed("credential"), tags=(18,))
    header, _, claims, signature = tagged.value
    assert len(header) == 9
    assert len(claims) == 68
    assert len(signature) == 64
    body = cbor.decode(claims)
    comments = "\n".join(line.split("#", 1)[1] for line in
                         BLOCKS["bytes", "credential"].splitlines() if "#" in line)  # fmt: skip
    assert f"the text {body[2].hex()}" in comments
    assert f"4 (exp): {body[4]}" in comments
    assert f"6 (iat): {body[6]}" in comments
    assert f"11 (vct): {body[11]}, a library card" in comments
    assert KINDS[body[11]] is Kind.LIBRARY_CARD
    assert listed("credential") in listed("presentation")


def test_a_gate_believes_them(trust: Path) -> None:
    text = BLOCKS["code", "dynamic"].strip("\n")
    credential = read(text, trust, now=SHOWN_AT + 5)
    assert credential.format is FormatName.NATIVE
    assert credential.kind is Kind.LIBRARY_CARD
    assert credential.subject == "8f14e45fceea167a"
    assert credential.dynamic
    for now, gate, reason in (
        (SHOWN_AT + 60, "main-entrance", Reason.STALE),
        (SHOWN_AT - 60, "main-entrance", Reason.ISSUED_IN_FUTURE),
        (SHOWN_AT + 5, "other", Reason.WRONG_AUDIENCE),
    ):
        with pytest.raises(Rejected) as refused:
            read(text, trust, now=now, gate=gate)
        assert refused.value.reason is reason
    assert not read(BLOCKS["code", "static"].strip("\n"), trust, now=SHOWN_AT).dynamic


def test_every_byte_counts(trust: Path) -> None:
    """Any byte of the page that is mistyped is noticed by the gate."""
    message = listed("presentation")
    for at in range(0, len(message), 7):
        changed = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        with pytest.raises(Rejected):
            read("NI2:" + base45.encode(changed), trust, now=SHOWN_AT + 5)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_the_program_makes_them(tmp_path: Path) -> None:
    (tmp_path / "issue.mjs").write_text(BLOCKS["file", "issue.mjs"])
    done = subprocess.run(
        ["node", "issue.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    credential, presentation, static, dynamic, key = done.stdout.splitlines()
    assert bytes.fromhex(credential) == listed("credential")
    assert bytes.fromhex(presentation) == listed("presentation")
    assert static == BLOCKS["code", "static"].strip("\n")
    assert dynamic == BLOCKS["code", "dynamic"].strip("\n")
    assert key in BLOCKS["file", "example.pem"]


def test_the_verify_command_answers_as_shown(trust: Path, capsys) -> None:
    command = re.search(r"^idgate (verify .*) CODE$", PAGE, re.MULTILINE)[1].split()
    command[command.index("trust")] = str(trust)
    code = BLOCKS["code", "dynamic"].strip("\n")
    assert cli.main([*command, code]) == 0
    assert capsys.readouterr().out.startswith("granted")
    command[command.index("--at") + 1] = "1800000060"
    assert cli.main([*command, code]) == 1
    assert capsys.readouterr().out.startswith("denied: reason stale")


def test_the_pilot_tools_work_as_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.csv").write_text(BLOCKS["file", "people.csv"])
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[-3:]
    lines = "".join(blocks).replace("\\\n", " ").strip().splitlines()
    assert len(lines) == 7
    for line in lines:
        words = line.split()
        assert words[0] == "idgate"
        assert cli.main(words[1:]) == 0, line
    assert (tmp_path / "code.png").read_bytes().startswith(b"\x89PNG")
    assert {file.name for file in (tmp_path / "cards").iterdir()} == {
        "ada.cbor", "ada.png", "lin.cbor", "lin.png", "cards.csv",
    }  # fmt: skip


def test_the_columns_of_a_table_are_those_that_are_read() -> None:
    table = PAGE.partition("| column | what stands in it |")[2].partition("\n\n")[0]
    named = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
             for name in re.findall(r"`(\w+)`", row)]  # fmt: skip
    assert named == list(COLUMNS)


# --- what the page says is refused, and with what ------------------------------------------------

CITY = issue.new_issuer("city", "ES256")
PHONE = issue.Holder.new("ES256")
CNF = {1: PHONE.cose_key()}
CLAIMS = {2: "s", 4: SHOWN_AT + 60, 6: SHOWN_AT - 60, 8: CNF, 11: 1}
FIRST = {1: CITY.iss, 2: "s", 4: SHOWN_AT + 60, 6: SHOWN_AT - 60, 7: b"c", 8: CNF}
"""The same in version 1."""
REDACTED = {cbor.REDACTED: [b"d" * 32]}
SHOWING = {3: "central-library", 6: SHOWN_AT}
DROP = object()


def kept(mapping: dict) -> dict:
    return {label: value for label, value in mapping.items() if value is not DROP}


def shown(
    claims=None, showing=None, *, header=None, unprotected=None, key=None, phone=None,
    sign=None, phone_sign=None, raw=None, base=CLAIMS,
) -> bytes:  # fmt: skip
    """Return a presentation of which one thing is wrong."""
    body = cbor.encode(kept(base | (claims or {}))) if raw is None else raw
    token = signed({1: -7, 4: CITY.kid} | (header or {}), body, key or CITY.key, unprotected, sign)
    outer = {1: -7, 13: token, 16: 294}
    parts = kept(SHOWING | (showing or {}))
    return cbor.encode(signed(outer, cbor.encode(parts), phone or PHONE.key, None, phone_sign))


def first(claims=None) -> str:
    """Return the text of a code of version 1."""
    return "NI1:" + base45.encode(shown(claims, base=FIRST))


def signed(header: dict, body: bytes, key, unprotected=None, sign=None) -> cbor.Tagged:
    raw = cbor.encode(kept(header))
    structure = cbor.encode(["Signature1", raw, b"", body])
    signature = (sign or (lambda key, data: key.sign(data)))(key, structure)
    return cbor.Tagged(18, [raw, unprotected or {}, body, signature])


def der(key: issue.SigningKey, data: bytes) -> bytes:
    return key.private.sign(data, ec.ECDSA(hashes.SHA256()))


def longer(claims: dict) -> bytes:
    """Write the map's head in two bytes, where one is enough."""
    body = cbor.encode(claims)
    return bytes((0xB8, body[0] & 31)) + body[1:]


STRANGER = issue.SigningKey.new("ES256")
CAUSES = [
    ("malformed", "CBOR not in shortest form", shown(raw=longer(CLAIMS))),
    ("malformed", "text where bytes belong", shown({7: "card"})),
    ("malformed", "text where bytes belong", first({7: "card"})),
    ("malformed", "no `kid`", shown(header={4: DROP})),
    ("malformed", "an empty `sub`", shown({2: ""})),
    ("malformed", "a private key in `cnf`", shown({8: {1: PHONE.cose_key() | {-4: b"d" * 32}}})),
    ("malformed", "a `vct` that is no number", shown({11: "urn:idgate:vct:online-id"})),
    ("malformed", "a disclosure that fits no digest", shown(unprotected={17: [b"x"]})),
    ("malformed", "redacted claims in a static code",
     cbor.encode(signed({1: -7, 4: CITY.kid}, cbor.encode(CLAIMS | {169: REDACTED}), CITY.key))),
    ("unsigned", "an empty signature", shown(sign=lambda _key, _data: b"")),
    ("unsigned", "COSE_Mac0", b"\xd1" + shown()[1:]),
    ("algorithm_mismatch", "`alg` in the unprotected header",
     shown(header={1: DROP}, unprotected={1: -7})),
    ("algorithm_mismatch", "not the algorithm that the trust file pins", shown(header={1: -8})),
    ("unknown_issuer", "`kid` is not the first 8 bytes", shown(header={4: b"k" * 8})),
    ("unknown_issuer", "`iss` is missing", first({1: DROP})),
    ("unknown_issuer", "or differs from", first({1: "https://other.example"})),
    ("bad_signature", "the array was not signed",
     shown(sign=lambda key, data: key.sign(cbor.decode(data)[3]))),
    ("bad_signature", "a DER signature", shown(sign=der)),
    ("bad_holder_signature", "`cnf` is another key", shown(phone=STRANGER)),
    ("bad_holder_signature", "the phone signed something else",
     shown(phone_sign=lambda key, _: key.sign(b"another"))),
    ("bad_holder_signature", "a DER signature", shown(phone_sign=der)),
    *[("missing_claim", f"`{name}`", shown({number: DROP}))
      for name, number in (("sub", 2), ("exp", 4), ("iat", 6), ("vct", 11))],
    ("missing_claim", "`cti`", first({7: DROP})),
    ("missing_claim", "`cnf` where the phone signs", shown({8: DROP})),
    ("missing_claim", "`aud` and `iat` in the presentation", shown(showing={3: DROP})),
    ("missing_claim", "`aud` and `iat` in the presentation", shown(showing={6: DROP})),
    ("missing_claim", "`vct` where nothing else marks the profile", first({8: DROP})),
    ("unknown_claim", "`iss` in version 2", shown({1: CITY.iss})),
    ("unknown_claim", "a claim of your own", shown({99: 1})),
    ("unknown_claim", "a claim of your own", shown(showing={"note": 1})),
    ("wrong_audience", "another gate's", shown({3: "central-library/garden"})),
    ("bad_time", "milliseconds", shown({4: (SHOWN_AT + 60) * 1000})),
    ("bad_time", "a float", shown({4: SHOWN_AT + 60.5})),
    ("bad_time", "`exp` before `iat`", shown({4: SHOWN_AT - 90})),
    ("wrong_audience", "another gate's", shown(showing={3: "central-library/garden"})),
    ("wrong_audience", "or a list", shown(showing={3: ["central-library"]})),
    ("stale", "the phone's clock", shown(showing={6: SHOWN_AT - 40})),
    ("issued_in_future", "the phone's clock", shown(showing={6: SHOWN_AT + 40})),
]  # fmt: skip


def code(message: bytes | str) -> str:
    """Return a message of version 2 as text, and a text as it is."""
    return message if isinstance(message, str) else "NI2:" + base45.encode(message)


@pytest.fixture
def believed(tmp_path: Path) -> Path:
    (tmp_path / "city.pem").write_bytes(CITY.key.public_pem())
    (tmp_path / "city.toml").write_text(f'iss = ["{CITY.iss}"]\nalgorithm = "ES256"\n')
    return tmp_path


def refusals() -> dict[str, str]:
    """Return the page's table: a reason, and what it says of it."""
    table = PAGE.partition("| refused with |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \| (.*) \|$", table, re.MULTILINE)
    return {name: cause for names, cause in rows for name in re.findall(r"`([a-z_]+)`", names)}


def test_what_is_not_broken_is_believed(believed: Path) -> None:
    assert read(code(shown()), believed, now=SHOWN_AT).dynamic
    assert read(first(), believed, now=SHOWN_AT).dynamic


@pytest.mark.parametrize(("reason", "cause", "message"), CAUSES)
def test_a_broken_code_is_refused_as_the_table_says(
    believed: Path, reason: str, cause: str, message: bytes | str
) -> None:
    assert cause in refusals()[reason]
    with pytest.raises(Rejected) as refused:
        read(code(message), believed, now=SHOWN_AT)
    assert refused.value.reason == reason


def test_every_reason_of_the_table_is_made() -> None:
    assert refusals().keys() == {reason for reason, _, _ in CAUSES}
