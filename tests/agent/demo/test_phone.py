"""The demo with a phone, a picture in the webcam's place: from an empty folder to an open gate."""

from __future__ import annotations

import io
import ssl
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from agent.demo import phone as demo
from agent.demo.stage import StageError
from agent.desk.offers import OfferState
from agent.issuing.issue import present
from hal.simulated.scene import Phone as Screen
from hal.simulated.scene import Scene
from tests.agent.desk.desk_folder import free_ports
from tests.support.gate_on_disk import PATIENCE, until
from tests.support.phones import Phone, proof


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
        tmp_path / "out", address="127.0.0.1", source=demo.open_eye(eye), console=console, port=port
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


def test_without_a_webcam_it_says_what_would_do(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "WEBCAM", tmp_path / "video0")
    with pytest.raises(StageError, match="--frames FILE"):
        demo.open_eye(None)


def test_a_desk_that_does_not_start_is_told_by_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"desk\.toml: No such file"):
        demo._served(tmp_path / "none/desk.toml", tmp_path / "log")
