"""Offline keys sign on a stick; what a stick can bring back is a signature, and nothing else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from agent.trust.model import TrustError
from agent.trust.publish import Repository
from tests.support.trust_sets import GateCache, Publisher, new_public_pem


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "repo", root_keys=2, root_threshold=2)
    made.add(issuers__one=new_public_pem())
    return made


@pytest.fixture
def stick(publisher: Publisher, tmp_path: Path) -> Path:
    publisher.publish()
    publisher.add(issuers__two=new_public_pem())
    publisher.repository.remove(["issuers/one.pem"])
    publisher.repository.write_bundle(tmp_path / "stick")
    return tmp_path / "stick"


def elsewhere(stick: Path) -> Repository:
    return Repository(stick, now=int(time.time()))


def test_the_first_set_is_signed_on_a_stick_key_by_key(
    publisher: Publisher, tmp_path: Path
) -> None:
    stick, repository = tmp_path / "stick", publisher.repository
    repository.write_bundle(stick)
    *roles, added = elsewhere(stick).changes()
    assert [line.split()[1] for line in roles] == ["root", "snapshot", "targets", "timestamp"]
    assert added == "adds issuers/one.pem"
    for signer in (*publisher.signers["root"], *publisher.signers["targets"]):
        elsewhere(stick).sign([signer])
    assert len(repository.missing()) == 2
    assert len(repository.take_bundle(stick)) == 3
    assert repository.missing() == []
    repository.publish(publisher.online)
    gate = GateCache(tmp_path / "cache", publisher.first_root)
    assert gate.update(publisher.path)
    assert gate.issuers() == ["one"]


def test_a_change_comes_back_signed_and_the_same_stick_updates_gates(
    publisher: Publisher, stick: Path, tmp_path: Path
) -> None:
    assert elsewhere(stick).changes() == ["removes issuers/one.pem", "adds issuers/two.pem"]
    gate = GateCache(tmp_path / "cache", publisher.first_root)
    assert gate.update(stick)
    assert gate.issuers() == ["one"]
    (keyid,) = publisher.repository.keys_of("targets")
    assert elsewhere(stick).sign(publisher.signers["targets"]) == [f"targets {keyid}"]
    assert publisher.repository.take_bundle(stick) == [f"targets {keyid}"]
    publisher.repository.publish(publisher.online)
    publisher.repository.write_bundle(stick)  # over the one of before
    assert gate.update(stick)
    assert gate.issuers() == ["two"]
    assert not list((stick / "targets").rglob("*.one.pem"))


def _edit(stick: Path, change: Callable[[Metadata[Any]], None]) -> None:
    path = stick / "draft" / "targets.json"
    metadata: Metadata[Any] = Metadata.from_file(str(path))
    change(metadata)
    metadata.to_file(str(path))


def _signed(publisher: Publisher, stick: Path) -> None:
    elsewhere(stick).sign(publisher.signers["targets"])


def _other_content(publisher: Publisher, stick: Path) -> None:
    elsewhere(stick).add("issuers/evil.pem", new_public_pem())
    _signed(publisher, stick)


def _broken_signature(publisher: Publisher, stick: Path) -> None:
    _signed(publisher, stick)

    def change(metadata: Metadata[Any]) -> None:
        (signature,) = metadata.signatures.values()
        signature.signature = "00" * 64

    _edit(stick, change)


def _strangers_key(_publisher: Publisher, stick: Path) -> None:
    _edit(stick, lambda metadata: metadata.sign(CryptoSigner.generate_ed25519()) and None)


def _online_key(publisher: Publisher, stick: Path) -> None:
    _edit(stick, lambda metadata: metadata.sign(publisher.signers["snapshot"][0]) and None)


def _replaced(stick: Path, put: Callable[[Path], object]) -> None:
    path = stick / "draft" / "targets.json"
    path.unlink()
    put(path)


HOSTILE: list[tuple[str, Callable[[Publisher, Path], object], str]] = [
    ("another draft", _other_content, "not the draft that waits here"),
    ("a signature that does not verify", _broken_signature, "does not verify"),
    ("a stranger's signature", _strangers_key, "no new signature"),
    ("an online key's signature", _online_key, "no new signature"),
    ("no signature", lambda _, stick: None, "no new signature"),
    ("nothing", lambda _, stick: shutil.rmtree(stick), "no new signature"),
    ("junk", lambda _, stick: _replaced(stick, lambda p: p.write_bytes(b"\xff")), "not signed metadata"),
    ("a huge file", lambda _, stick: _replaced(stick, lambda p: p.write_bytes(bytes(6 << 20))), "larger than"),
    ("a pipe", lambda _, stick: _replaced(stick, os.mkfifo), "not a regular file"),
    ("a link", lambda _, stick: _replaced(stick, lambda p: p.symlink_to("/etc/passwd")), "cannot be read"),
    ("a folder", lambda _, stick: _replaced(stick, Path.mkdir), "not a regular file"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_a_stick_that_was_changed_changes_nothing(
    publisher: Publisher, stick: Path, spoil: Callable[[Publisher, Path], object], message: str
) -> None:
    before = (publisher.path / "draft" / "targets.json").read_bytes()
    spoil(publisher, stick)
    with pytest.raises(TrustError, match=message):
        publisher.repository.take_bundle(stick)
    assert (publisher.path / "draft" / "targets.json").read_bytes() == before


def test_a_draft_that_went_on_does_not_take_the_signature_of_before(
    publisher: Publisher, stick: Path
) -> None:
    _signed(publisher, stick)
    publisher.add(issuers__three=new_public_pem())
    with pytest.raises(TrustError, match="write the bundle again"):
        publisher.repository.take_bundle(stick)


def test_who_signs_is_told_of_new_keys_and_of_what_only_lasts_longer(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish()
    fresh = CryptoSigner.generate_ed25519().public_key
    publisher.repository.rotate("snapshot", [fresh])
    publisher.repository.renew("targets")
    publisher.repository.write_bundle(tmp_path / "stick")
    assert elsewhere(tmp_path / "stick").changes() == [
        f"gives snapshot 1 of the keys {fresh.keyid[:16]}", "lets targets last longer",
    ]  # fmt: skip


def test_nobody_signs_for_a_file_that_is_not_there(publisher: Publisher, stick: Path) -> None:
    (stick / "draft" / "files" / "issuers" / "two.pem").write_bytes(new_public_pem())
    with pytest.raises(TrustError, match=r"two\.pem: missing, or changed"):
        elsewhere(stick).sign(publisher.signers["targets"])


def test_a_bundle_takes_no_folder_in_which_something_else_lies(
    publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"x")
    with pytest.raises(TrustError, match="neither empty nor a bundle"):
        publisher.repository.write_bundle(tmp_path / "photos")
    assert (tmp_path / "photos" / "me.jpg").read_bytes() == b"x"
    with pytest.raises(TrustError, match="cannot be written"):
        publisher.repository.write_bundle(tmp_path / "photos" / "me.jpg" / "below")
