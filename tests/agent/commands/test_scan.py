"""`idgate scan`: one object a line, one line for what is no picture, exit codes."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from PIL import Image

from agent.cli import main


@pytest.fixture
def pictures(tmp_path, draw):
    Image.fromarray(draw("NI1:HELLO")).save(tmp_path / "code.png")
    two = draw("second", at=(400, 900), onto=draw("first"))
    Image.fromarray(two).save(tmp_path / "two.png")
    Image.fromarray(draw(bytes(range(200, 256)))).save(tmp_path / "binary.png")
    Image.fromarray(draw("\x1b[2Jgone")).save(tmp_path / "escape.png")
    Image.fromarray(np.full((300, 400), 128, dtype=np.uint8)).save(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not a picture at all")
    return tmp_path


def run(capsys, *words):
    code = main(["scan", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()


def test_json_is_one_object_a_line_and_the_others_are_read_all_the_same(capsys, pictures):
    names = ["code.png", "text.png", "none.png", "two.png", "missing.png", "binary.png"]
    code, out, err = run(capsys, "--json", *(pictures / name for name in names))
    lines = [json.loads(line) for line in out]
    assert code == 2
    assert [line["file"] for line in lines] == [str(pictures / name) for name in names]
    assert [len(line["payloads"]) for line in lines] == [1, 0, 0, 2, 0, 1]
    assert ["error" in line for line in lines] == [False, True, False, False, True, False]
    assert err == [
        f"idgate scan: {pictures / 'text.png'}: not a picture",
        f"idgate scan: {pictures / 'missing.png'}: No such file or directory",
    ]
    (payload,) = lines[0]["payloads"]
    assert payload["text"] == "NI1:HELLO"
    assert base64.b64decode(payload["base64"]) == b"NI1:HELLO"
    assert payload["decoder"] == "zxing-cpp"
    assert np.abs(np.array(payload["corners"][0]) - (216, 116)).max() <= 4
    assert lines[0]["ms"] > 0
    binary = lines[5]["payloads"][0]
    assert binary["text"] is None
    assert base64.b64decode(binary["base64"]) == bytes(range(200, 256))


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["code.png"], 0),
        (["code.png", "two.png"], 0),
        (["code.png", "none.png"], 1),
        (["none.png", "text.png", "code.png"], 2),
    ],
)
def test_exit_codes(capsys, pictures, names, code):
    assert run(capsys, *(pictures / name for name in names))[0] == code


def test_text_for_people_cannot_steer_their_terminal(capsys, pictures):
    _, out, _ = run(capsys, *(pictures / name for name in ("code.png", "escape.png", "none.png")))
    assert out[0] == f"{pictures / 'code.png'}: NI1:HELLO"
    hidden = base64.b64encode(b"\x1b[2Jgone").decode()
    assert out[1] == f"{pictures / 'escape.png'}: base64:{hidden}"
    assert out[2] == f"{pictures / 'none.png'}: no code"


def test_corners_are_in_pixels_of_the_file(capsys, tmp_path, draw):
    large = draw("far", module_px=40, size=(5000, 6000), at=(2000, 3000))
    Image.fromarray(large).save(tmp_path / "large.png", compress_level=1)
    _, out, _ = run(capsys, "--json", tmp_path / "large.png")
    (payload,) = json.loads(out[0])["payloads"]
    assert np.abs(np.array(payload["corners"][0]) - (3000 + 160, 2000 + 160)).max() <= 20


@pytest.mark.parametrize("word", ["19", "60001", "soon"])
def test_a_deadline_out_of_range_is_a_usage_error(capsys, word):
    with pytest.raises(SystemExit) as ended:
        main(["scan", "--deadline-ms", word, "x.png"])
    assert ended.value.code == 2
    assert "deadline" in capsys.readouterr().err


def test_a_decoder_out_of_time_is_a_failure_of_the_file(capsys, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (3000, 4000), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "slow.png", compress_level=0)
    code, out, err = run(capsys, "--json", "--deadline-ms", "20", tmp_path / "slow.png")
    assert code == 1
    assert json.loads(out[0])["payloads"] == []
    assert err == [
        f"idgate scan: {tmp_path / 'slow.png'}: no code within 20 ms, and not everything was tried"
    ]


def test_a_page_of_patterns_gets_one_line_at_its_deadline(capsys, tmp_path, finders):
    Image.fromarray(finders(1)).save(tmp_path / "page.png")
    code, out, err = run(capsys, "--deadline-ms", "600", tmp_path / "page.png")
    assert (code, out) == (1, [])
    assert err == [
        f"idgate scan: {tmp_path / 'page.png'}: no code within 600 ms, and not everything was tried"
    ]


def test_every_code_of_a_sheet_is_printed(capsys, tmp_path, draw):
    picture = None
    for number in range(12):
        at = (20 + 170 * (number // 4), 20 + 300 * (number % 4))
        picture = draw(f"place {number}", module_px=5, at=at, onto=picture)
    Image.fromarray(picture).save(tmp_path / "sheet.png")
    code, out, _ = run(capsys, tmp_path / "sheet.png")
    assert code == 0
    shown = {line.split(": ")[1] for line in out}
    assert shown == {f"place {number}" for number in range(12)}
