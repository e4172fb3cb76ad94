"""`idgate trust`, the whole way: keys, repository, signatures, publication, a gate's update."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.cli import main
from agent.credential.model import StatusVerdict
from agent.trust.cache import load_signed
from agent.trust.directory import load_directory
from tests.agent.trust.test_status import KEY, cwt
from tests.support.trust_keys import NOW, certificate, public_pem
from tests.support.trust_sets import new_public_pem


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publisher's desk: the current directory, with a password and keys of issuers."""
    monkeypatch.chdir(tmp_path)
    Path("pw").write_text("correct horse\n")
    Path("ministry.pem").write_bytes(new_public_pem())
    Path("status.pem").write_bytes(public_pem(KEY))
    Path("status.toml").write_text('kid_text = "12"\n')
    root = ec.generate_private_key(ec.SECP256R1())
    Path("root.crt").write_bytes(certificate(root).public_bytes(Encoding.PEM))
    Path("duty.pem").write_bytes(new_public_pem())
    Path("roster.key").write_bytes(b"k" * 32)
    Path("members.csv").write_text("subject,zone\nA123,\nB456,hall\n")
    Path("list.bin").write_bytes(cwt())
    Path("face.tflite").write_bytes(b"model")
    return tmp_path


def idgate(*words: str) -> int:
    return main(["trust", *words])


def ok(*words: str) -> None:
    assert idgate(*words) == 0


def make(*words: str) -> None:
    ok("init", "repo", "--password-file", "pw", *words)
    ok(
        "add-issuer",
        "repo",
        "ministry.pem",
        "--kind",
        "online-id",
        "--format",
        "native",
        "--iss",
        "x",
    )


def publish() -> None:
    ok("sign", "repo", "--password-file", "pw")
    ok("publish", "repo", "--password-file", "pw")


@pytest.mark.usefixtures("desk")
def test_everything_that_can_be_added_reaches_a_gate(capsys: pytest.CaptureFixture[str]) -> None:
    make()
    ok("add-issuer", "repo", "status.pem", "--name", "bureau", "--describe", "status.toml")
    ok("add-root", "repo", "root.crt")
    ok("add-operator", "repo", "duty.pem", "--role", "open", "--role", "close")
    ok("add-roster", "repo", "members.csv", "--roster-key", "roster.key")
    ok(
        "add-roster",
        "repo",
        "members.csv",
        "--name",
        "banned",
        "--block",
        "--roster-key",
        "roster.key",
    )
    ok("add-status", "repo", "list.bin", "--name", "one")
    from importlib.resources import files

    profile = files("agent.policy.profiles") / "library.toml"
    ok("add-profile", "repo", str(profile))
    ok("add-model", "repo", "face.tflite")
    publish()
    Path("cache").mkdir()
    Path("cache/roster.key").write_bytes(b"k" * 32)
    ok("update", "cache", "--from", "repo", "--root", "repo/metadata/1.root.json")
    capsys.readouterr()
    ok("show", "cache", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["what"], shown["version"]) == ("cache", 1)
    assert {key["issuer"] for key in shown["keys"]} == {"ministry", "bureau", "root"}
    assert [key["issuer"] for key in shown["keys"] if key["root"]] == ["root"]
    assert shown["operators"][0]["roles"] == ["close", "open"]
    assert [(entry["name"], entry["mode"]) for entry in shown["rosters"]] == [
        ("banned", "block"), ("members", "allow"),
    ]  # fmt: skip
    assert shown["status_lists"][0]["issuer"] == "bureau"
    assert (shown["profiles"], shown["models"]) == (["library"], ["face.tflite"])
    assert 0 <= shown["age_s"] < 60
    snapshot = load_signed(Path("cache"), NOW)
    members = snapshot.roster("members")
    assert members is not None
    assert members.lists("ministry", "A123", NOW)
    assert not members.lists("ministry", "B456", NOW, "main")
    ok("show", "cache")
    words = capsys.readouterr().out
    for part in (
        "signed set, version 1",
        "ministry: online-id, native",
        "operator",
        "banned (block)",
        "ago",
    ):
        assert part in words
    assert "A123" not in words


@pytest.mark.usefixtures("desk")
def test_thresholds_are_met_on_two_machines(capsys: pytest.CaptureFixture[str]) -> None:
    make(
        "--root-keys",
        "3",
        "--root-threshold",
        "2",
        "--targets-keys",
        "2",
        "--targets-threshold",
        "2",
    )
    ok("sign", "repo", "--key", "repo-keys/root-1.pem", "--password-file", "pw")
    assert "root needs 1 more" in capsys.readouterr().out
    assert idgate("publish", "repo", "--password-file", "pw") == 2
    assert "root: 1 more signature(s) needed" in capsys.readouterr().err
    ok(
        "sign",
        "repo",
        "--key",
        "repo-keys/root-3.pem",
        "--key",
        "repo-keys/targets-1.pem",
        "--password-file",
        "pw",
    )
    ok("show", "repo")
    assert "targets needs 1 more signature(s)" in capsys.readouterr().out
    ok("sign", "repo", "--key", "repo-keys/targets-2.pem", "--password-file", "pw")
    ok("publish", "repo", "--password-file", "pw")
    ok("show", "repo", "--json")
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["missing"] == shown["drafts"] == []
    assert shown["roles"]["root"]["threshold"] == 2
    assert shown["roles"]["timestamp"]["version"] == 1


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_rotation_reaches_a_gate(role: str) -> None:
    make()
    publish()
    ok("update", "cache", "--from", "repo", "--root", "repo/metadata/1.root.json")
    ok("rotate", "repo", role, "--password-file", "pw")
    publish()
    ok("update", "cache", "--from", "repo")
    ok("remove", "repo", "issuers/ministry.pem", "issuers/ministry.toml")
    publish()
    ok("update", "cache", "--from", "repo")
    assert load_signed(Path("cache"), NOW).version == 3
    assert not load_signed(Path("cache"), NOW).keys


@pytest.mark.usefixtures("desk")
def test_a_root_key_whose_file_is_lost_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    ok("init", "lost", "--root-keys", "3", "--root-threshold", "2", "--password-file", "pw")
    ok("sign", "lost", "--password-file", "pw")
    ok("publish", "lost", "--password-file", "pw")
    ok("update", "cache", "--from", "lost", "--root", "lost/metadata/1.root.json")
    Path("lost-keys/root-2.pem").unlink()
    capsys.readouterr()
    ok("rotate", "lost", "timestamp", "--password-file", "pw")
    ok("show", "lost")
    asked = [line for line in capsys.readouterr().out.splitlines() if "root needs 2 more" in line]
    assert len(asked) == 2, "once by each command: the root keys are the same before and after"
    ok("rotate", "lost", "root", "--password-file", "pw")  # all three, by as many
    ok("show", "lost")
    shown = capsys.readouterr().out.splitlines()
    asked = [line for line in shown if line.startswith("  root needs 2 more")]
    assert len({line.partition("of: ")[2] for line in asked}) == len(asked) == 2, "old and new keys"
    kept = ["root-1", "root-3", "root-4", "root-5", "root-6"]
    assert sorted(path.stem for path in Path("lost-keys").glob("root-*")) == kept
    ok("sign", "lost", "--password-file", "pw")
    ok("publish", "lost", "--password-file", "pw")
    ok("update", "cache", "--from", "lost")


@pytest.mark.usefixtures("desk")
def test_one_key_of_several_is_retired_by_the_id_that_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ok("init", "several", "--root-keys", "3", "--root-threshold", "2", "--password-file", "pw")
    ok("sign", "several", "--password-file", "pw")
    ok("publish", "several", "--password-file", "pw")
    ok("show", "several")
    line = next(line for line in capsys.readouterr().out.splitlines() if "  root:" in line)
    first, *others = line.rpartition("keys ")[2].split(", ")
    ok("rotate", "several", "root", "--retire", first, "--password-file", "pw")
    ok("sign", "several", "--password-file", "pw")
    ok("publish", "several", "--password-file", "pw")
    ok("show", "several")
    after = next(line for line in capsys.readouterr().out.splitlines() if "  root:" in line)
    held = after.rpartition("keys ")[2].split(", ")
    assert len(held) == 3
    assert first not in held
    assert set(others) < set(held)


@pytest.mark.usefixtures("desk")
def test_keys_are_encrypted_private_and_never_overwritten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make()
    for key in Path("repo-keys").iterdir():
        assert key.stat().st_mode & 0o777 == 0o600
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in key.read_bytes()
    Path("wrong").write_text("guess")
    assert idgate("sign", "repo", "--password-file", "wrong") == 2
    assert "wrong password, or no private key" in capsys.readouterr().err
    before = Path("repo-keys/root-1.pem").read_bytes()
    assert idgate("init", "repo", "--password-file", "pw") == 2
    assert Path("repo-keys/root-1.pem").read_bytes() == before
    inside = subprocess.run(["openssl", "pkey", "-in", "repo-keys/root-1.pem", "-passin", "file:pw", "-noout", "-text"],
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert "ED25519" in inside.stdout


@pytest.mark.usefixtures("desk")
def test_a_password_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["secret", "secret"])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
    ok("init", "repo")
    answers = iter(["secret", "other"])
    assert idgate("init", "second") == 2
    assert "the passwords are empty or differ" in capsys.readouterr().err
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "secret")
    ok("sign", "repo")
    ok("init", "third", "--no-password")
    ok("sign", "third")


REFUSED = [
    ("no repository", ("add-issuer", "nowhere", "ministry.pem"), "neither a repository nor a directory"),
    ("no such file", ("add-issuer", "repo", "none.pem"), "none.pem: cannot be read"),
    ("private key", ("add-issuer", "repo", "private.pem"), "a private key where the public one belongs"),
    ("unknown kind", ("add-issuer", "repo", "ministry.pem", "--kind", "id-card"), "key kinds"),
    ("unknown kind of file", ("add-issuer", "repo", "pw"), "an unknown kind of key file"),
    ("description and options", ("add-issuer", "repo", "status.pem", "--describe", "status.toml", "--kind", "x"), "not both"),
    ("operator without roles", ("add-operator", "repo", "duty.pem"), "an operator needs roles"),
    ("operator of an unknown command", ("add-operator", "repo", "duty.pem", "--role", "boss"), "unknown boss"),
    ("root that is no certificate", ("add-root", "repo", "ministry.pem"), "only a certificate can be a root"),
    ("roster key", ("add-roster", "repo", "members.csv", "--roster-key", "pw"), "a roster key is 32 bytes"),
    ("roster of nothing", ("add-roster", "repo", "pw", "--roster-key", "roster.key"), "the heading must be of"),
    ("no profile", ("add-profile", "repo", "pw"), "pw"),
    ("a name with a slash", ("add-model", "repo", "face.tflite", "--name", "../x"), "no name of a trust file"),
    ("remove what is not there", ("remove", "repo", "issuers/none.pem"), "not in the set"),
    ("keys nowhere", ("sign", "repo", "--keys", "nowhere"), "no keys of root or targets"),
    ("a key of nobody", ("sign", "repo", "--key", "stranger.pem"), "nothing waits for a signature"),
    ("a key to retire that is none", ("rotate", "repo", "root", "--retire", "ff", "--no-password"), "not a key of root"),
    ("a threshold beyond the keys", ("rotate", "repo", "root", "--threshold", "5", "--no-password"), "cannot be"),
    ("publishing with the wrong keys", ("publish", "repo", "--key", "stranger.pem"), "more signature"),
    ("update from nowhere", ("update", "cache", "--from", "nowhere"), "neither an https URL nor a directory"),
    ("pin what is no root", ("update", "cache", "--from", "repo", "--root", "pw"), "not root metadata"),
    ("show nothing", ("show", "nowhere"), "not a directory"),
]  # fmt: skip


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("words", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_cannot_be_used_is_one_line_and_exit_2(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", "stranger.pem"], check=True
    )
    Path("private.pem").write_bytes(Path("stranger.pem").read_bytes())
    ok("init", "repo", "--no-password")
    capsys.readouterr()
    assert idgate(*words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith(f"idgate trust {words[0]}: ")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("desk")
def test_nothing_is_published_that_a_gate_would_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    make()
    ok("add-status", "repo", "list.bin")  # signed by a key that is not in the set
    ok("sign", "repo", "--password-file", "pw")
    assert idgate("publish", "repo", "--password-file", "pw") == 2
    assert (
        "gates would refuse this set: status/list.cwt: status list: no trusted key"
        in capsys.readouterr().err
    )
    assert not list(Path("repo/metadata").iterdir())
    ok("remove", "repo", "status/list.cwt")
    publish()


@pytest.mark.usefixtures("desk")
def test_a_draft_changed_behind_its_signature_is_not_published(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make()
    ok("sign", "repo", "--password-file", "pw")
    Path("repo/draft/files/issuers/ministry.pem").write_bytes(new_public_pem())
    assert idgate("publish", "repo", "--password-file", "pw") == 2
    assert "missing, or changed since it was added" in capsys.readouterr().err


@pytest.mark.usefixtures("desk")
def test_what_expired_must_be_renewed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    make("--targets-days", "10")
    publish()
    later = time.time() + 11 * 86_400
    monkeypatch.setattr("agent.commands.trust.time.time", lambda: later)
    assert idgate("publish", "repo", "--password-file", "pw") == 2
    assert "targets: expired; renew and sign it first" in capsys.readouterr().err
    ok("show", "repo")
    assert "EXPIRED" in capsys.readouterr().out
    ok("renew", "repo", "targets")
    publish()


@pytest.mark.usefixtures("desk")
def test_a_roster_is_made_for_a_plain_directory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("plain").mkdir()
    ok("add-issuer", "plain", "ministry.pem", "--kind", "online-id", "--format", "native")
    ok("add-roster", "plain", "members.csv", "--roster-key", "roster.key")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "added rosters/members.roster",
        "copy the roster key to plain/roster.key, readable by the gate alone",
    ]
    Path("plain/roster.key").write_bytes(Path("roster.key").read_bytes())
    ok("add-roster", "plain", "members.csv", "--name", "b", "--block", "--roster-key", "roster.key")
    assert capsys.readouterr().out == "added rosters/b.roster\n"
    snapshot = load_directory(Path("plain"), now=NOW, strict=True)
    for name, blocks in (("members", False), ("b", True)):
        roster = snapshot.roster(name)
        assert roster is not None
        assert roster.blocks is blocks
        assert roster.lists("ministry", "A123", NOW)
    Path("other.key").write_bytes(b"o" * 32)
    assert idgate("add-roster", "plain", "members.csv", "--roster-key", "other.key") == 2
    assert "plain/roster.key: another roster key" in capsys.readouterr().err
    ok("update", "cache", "--from", published(), "--root", "repo/metadata/1.root.json")
    assert idgate("add-roster", "cache", "members.csv", "--roster-key", "roster.key") == 2
    assert "cache: a gate's cache" in capsys.readouterr().err


def published() -> str:
    make()
    publish()
    return "repo"


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("place", ["repo", "plain"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("URN:UVCI:01:XX:AB#1,", "line 2: can never match: a health certificate's subject is the SHA-256"),
        ("A123,nobody", "entry 1: no issuer 'nobody' in the set"),
        ("A123,board", "entry 1: can never match: its issuer's subjects are hashes"),
    ],
)  # fmt: skip
def test_a_line_that_can_never_match_is_refused(
    place: str, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ok("init", "repo", "--no-password")
    Path("plain").mkdir()
    ok("add-issuer", place, "ministry.pem", "--name", "board", "--format", "dcc")
    Path("list.csv").write_text(f"subject,issuer\n{line}\n")
    assert idgate("add-roster", place, "list.csv", "--roster-key", "roster.key") == 2
    err = capsys.readouterr().err
    assert message in err
    assert line.partition(",")[0] not in err
    Path("list.csv").write_text(f"subject,issuer\n{'ab' * 32},board\n")
    ok("add-roster", place, "list.csv", "--roster-key", "roster.key")


@pytest.mark.usefixtures("desk")
def test_show_names_what_was_set_aside_and_the_days_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import time

    Path("plain").mkdir()
    Path("plain/ministry.pem").write_bytes(Path("ministry.pem").read_bytes())
    end = int(time.time()) + 10 * 86_400 + 60
    Path("plain/ministry.toml").write_text(f"valid_until = {end}\nhighest_level = 'basic'\n")
    Path("plain/foreign.pem").write_bytes(b"x")
    ok("show", "plain")
    out = capsys.readouterr().out
    assert "ministry: any kind, basic only; 10 days left" in out
    assert "  SET ASIDE foreign.pem: not a PEM" in out
    ok("show", "plain", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert [key["days_left"] for key in shown["keys"]] == [10]
    assert [entry["file"] for entry in shown["set_aside"]] == ["foreign.pem"]


@pytest.mark.usefixtures("desk")
def test_a_revocation_list_reaches_a_gate(capsys: pytest.CaptureFixture[str]) -> None:
    Path("revoked.json").write_text(
        '{"kid":"AQIDBAUGBwg=","hashType":"UCI","entries":[{"hash":"AAAAAAAAAAAAAAAAAAAAAA=="}]}'
    )
    make()
    ok("add-revocation", "repo", "revoked.json")
    publish()
    ok("update", "cache", "--from", "repo", "--root", "repo/metadata/1.root.json")
    ok("show", "cache")
    assert "revoked health certificates: 1" in capsys.readouterr().out
    snapshot = load_signed(Path("cache"), NOW)
    assert snapshot.revocation(bytes(range(1, 9)), [bytes(16)]) is StatusVerdict.INVALID
    Path("revoked.json").write_text("{}")
    assert idgate("add-revocation", "repo", "revoked.json") == 2
    assert "revoked.json: no batch of revoked health certificates" in capsys.readouterr().err


@pytest.mark.usefixtures("desk")
def test_show_reads_a_plain_directory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("plain").mkdir()
    Path("plain/ministry.pem").write_bytes(Path("ministry.pem").read_bytes())
    Path("plain/ministry.toml").write_text("valid_until = 2026-01-01\n")
    ok("show", "plain")
    assert "ministry: any kind; NOT VALID NOW" in capsys.readouterr().out
    ok("show", "plain", "--json")
    assert json.loads(capsys.readouterr().out)["what"] == "directory"
    assert load_directory(Path("plain"), now=NOW).keys


# --- the role of status lists, and the stick -----------------------------------------------------


def listed(*withdrawn: str) -> None:
    words = ("status", "--issuer", "keys/lib.key.pem", "--uri", "https://lib.example/1")
    revoked = [word for index in withdrawn for word in ("--revoke", index)]
    assert main(["issue", *words, "--size", "1024", *revoked, "--out", "desk-1.cwt"]) == 0


def statuses(index: int) -> list[int]:
    return [entry.value(index) for entry in load_signed(Path("cache"), NOW).status_lists]


@pytest.mark.usefixtures("desk")
def test_a_status_list_is_published_without_a_key_of_targets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make("--status-key")
    assert main(["issue", "key", "lib", "--out", "keys"]) == 0
    ok("add-issuer", "repo", "keys/trust/lib.pem", "--iss", "urn:idgate:issuer:lib")
    publish()
    for name in ("root-1.pem", "targets-1.pem"):
        Path("repo-keys", name).unlink()
    ok("update", "cache", "--from", "repo", "--root", "repo/metadata/1.root.json")
    assert statuses(7) == []
    for withdrawn, expected in (((), [0]), (("7",), [1])):
        listed(*withdrawn)
        ok("publish-status", "repo", "desk-1.cwt", "--password-file", "pw")
        ok("update", "cache", "--from", "repo")
        assert statuses(7) == expected
    capsys.readouterr()
    ok("show", "repo")
    said = capsys.readouterr().out
    assert "  status: version 3, expires " in said
    assert "  status/desk-1.cwt (" in said
    assert idgate("publish-status", "repo", "desk-1.cwt", "keys/../desk-1.cwt") == 2
    assert "another list is named status/desk-1.cwt too" in capsys.readouterr().err


@pytest.mark.usefixtures("desk")
def test_an_old_repository_is_given_the_role_and_its_key_is_rotated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    make()
    publish()
    assert main(["issue", "key", "lib", "--out", "keys"]) == 0
    listed()
    assert idgate("publish-status", "repo", "desk-1.cwt", "--password-file", "pw") == 2
    assert "no role `status` is published here yet" in capsys.readouterr().err
    assert idgate("rotate", "repo", "status", "--password-file", "pw") == 2
    assert "idgate trust delegate-status" in capsys.readouterr().err
    ok("delegate-status", "repo", "--password-file", "pw")
    capsys.readouterr()
    ok("sign", "repo", "--password-file", "pw")
    assert capsys.readouterr().out.startswith("it delegates status/* to 1 of the keys ")
    ok("publish", "repo", "--password-file", "pw")
    assert idgate("delegate-status", "repo", "--password-file", "pw") == 2
    assert sorted(path.name for path in Path("repo-keys").glob("status-*")) == ["status-1.pem"]
    ok("rotate", "repo", "status", "--password-file", "pw")
    publish()
    said = Path("repo/metadata/2.status.json").read_text()
    assert json.loads(said)["signed"]["version"] == 2


@pytest.mark.usefixtures("desk")
def test_offline_keys_sign_on_a_stick(capsys: pytest.CaptureFixture[str]) -> None:
    make()
    offline = Path("safe")
    offline.mkdir()
    for name in ("root-1.pem", "targets-1.pem"):
        Path("repo-keys", name).rename(offline / name)
    ok("bundle", "repo", "stick")
    capsys.readouterr()
    ok("show", "stick")
    assert "    it adds issuers/ministry.pem" in capsys.readouterr().out
    ok("sign", "stick", "--keys", "safe", "--password-file", "pw")
    assert idgate("publish", "repo", "--password-file", "pw") == 2
    ok("take", "repo", "stick")
    ok("publish", "repo", "--password-file", "pw")
    ok("update", "cache", "--from", "repo", "--root", "repo/metadata/1.root.json")
    capsys.readouterr()
    assert idgate("take", "repo", "stick") == 2
    assert "no new signature" in capsys.readouterr().err
