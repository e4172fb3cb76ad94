"""The demo with a phone, a picture in the webcam's place: from an empty folder to an open gate."""

from __future__ import annotations

import io
import re
import ssl
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from agent.cli import main
from agent.controller.ports import JournaledEvent
from agent.credential.model import Kind, Level
from agent.demo import phone as demo
from agent.demo.eye import open_eye
from agent.demo.stage import StageError
from agent.desk.offers import OfferState
from agent.issuing.issue import Holder, new_issuer, present, sign_credential
from agent.journal import events
from hal.simulated.scene import Phone as Screen
from hal.simulated.scene import Scene
from tests.agent.desk.desk_folder import free_ports
from tests.support.gate_on_disk import PATIENCE, until
from tests.support.phones import Phone, proof
from tests.support.webcams import Webcam, plugged_in


def show(file: Path, *codes: str) -> None:
    """Replace the picture that both gates look at."""
    scene = Scene(seed=1, noise=0)
    picture = np.asarray(scene.compose([Screen(code).at_module_px(4.0) for code in codes]))
    scratch = file.with_suffix(".next.png")
    Image.fromarray(picture).save(scratch, compress_level=0)
    scratch.rename(file)


def test_a_phone_takes_a_card_and_opens_the_gate_that_it_was_made_for(tmp_path: Path) -> None:
    eye = tmp_path / "eye.png"
    show(eye)
    (port,) = free_ports(1)
    said = io.StringIO()
    console = Console(file=said, width=100)
    made = demo.PhoneShow(
        tmp_path / "out", address="127.0.0.1", eye=open_eye(eye, ""), console=console, port=port
    )
    (tmp_path / "out").mkdir()
    with made as running:
        issuer = f"https://127.0.0.1:{port + 1}"
        trusted = ssl.create_default_context(cafile=tmp_path / "out/desk/desk-ca.pem")
        with httpx.Client(base_url=issuer, verify=trusted) as web:
            phone = Phone(web)
            offer = running.offer()
            assert running.state(offer) is OfferState.OPEN
            code = phone.read(offer.wallet_link).json()["grants"]
            phone.redeem(next(iter(code.values()))["pre-authorized_code"])
            proofs = [proof(phone.holders[0].key, audience=issuer, nonce=phone.nonce())]
            assert phone.fetch(proofs={"jwt": proofs}).status_code == 200
        until(lambda: running.state(offer) is not OfferState.OPEN, "taken")
        assert running.place_link("north") == (
            f"https://127.0.0.1:{port + 2}/#place=demo%2Fnorth&need="  # a library asks for nothing
        )
        now = int(time.time())
        shown = present(phone.credentials[0], phone.holders[0], at=now, audience="demo/north")
        show(eye, shown)
        told = {each.gate: each for each in running.wait_for(2, 20 * PATIENCE)}
        assert told["north"].decision == "granted", told
        assert (told["south"].decision, told["south"].reason) == ("denied", "wrong_audience")
    log = (tmp_path / "out/desk.log").read_text()
    assert offer.code not in log
    assert "Visitor" not in log


def test_before_a_webcam_there_is_one_gate_on_its_driver(tmp_path: Path, monkeypatch) -> None:
    scene = Scene(seed=1, noise=0)
    seen = [np.asarray(scene.compose([]))]
    webcam = Webcam((1280, 720))
    webcam.rate = 15.0
    webcam.picture = lambda _number, _width, _height: seen[-1]
    issuer, holder = new_issuer("lib", "ES256"), Holder.new()
    folder = tmp_path / "north"
    (folder / "trust").mkdir(parents=True)
    (folder / "trust" / "lib.pem").write_bytes(issuer.key.public_pem())
    (folder / "trust" / "lib.toml").write_text(issuer.trust_toml())
    told: list[events.Decision] = []

    def hear(_gate: str, told_of: JournaledEvent) -> None:
        if isinstance(told_of.event, events.Decision):
            told.append(told_of.event)

    with plugged_in(monkeypatch, webcam):
        eye = open_eye(None, "0")
        assert eye.gates == ("north",)
        assert eye.words == "Example HD: Example HD at /dev/video0, 1280x720"
        (folder / "config.toml").write_text(demo.settings_of(eye), encoding="utf-8")
        gate = demo.Gate(folder, eye.source, hear)
        try:
            now = int(time.time())
            card = sign_credential(
                issuer, holder, subject="1", issued_at=now, valid_until=now + 600,
                kind=Kind.LIBRARY_CARD, level=Level.UPGRADED,
            )  # fmt: skip
            shown = present(card, holder, at=now, audience="my-site/gate-1")
            seen.append(np.asarray(scene.compose([Screen(shown).at_module_px(4.0)])))
            until(lambda: told, "told")
        finally:
            gate.close()
    assert told[0].decision == "granted", told


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ("0", "there is no webcam 0: none found .*; --frames FILE plays"),
        ("/dev/video9", "No such file or directory: '/dev/video9'.*; --frames FILE plays"),
        ("none", "--camera: the number of a webcam, 0 the first, or its path below /dev"),
        ("-1", "--camera: the number of a webcam"),
    ],
)
def test_without_a_webcam_one_line_says_what_would_do(camera, said, monkeypatch, capsys) -> None:
    with plugged_in(monkeypatch):
        assert main(["demo", f"--camera={camera}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"(no network.*\n)?idgate demo: .*{said}.*\n", err), err


def test_a_webcam_that_gives_no_picture_is_told_before_anything_is_made(monkeypatch) -> None:
    webcam = Webcam()
    webcam.busy = True
    with plugged_in(monkeypatch, webcam), pytest.raises(StageError, match="another program has it"):
        open_eye(None, "0")


def test_elsewhere_there_are_no_webcams(monkeypatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(StageError, match="webcams are read on Linux only; --frames FILE"):
        open_eye(None, "0")


def test_a_desk_that_does_not_start_is_told_by_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"desk\.toml: No such file"):
        demo._served(tmp_path / "none/desk.toml", tmp_path / "log")
