"""The command line, end to end on two portraits."""

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

from agent.biometrics.face.evaluate import read_pairs
from agent.cli import main


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, astronaut, hopper):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for name, person in (("astronaut", astronaut), ("hopper", hopper)):
        (folder / name).mkdir()
        for number in range(2):
            noisy = person + rng.normal(0, 6 * number, person.shape)
            picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
            picture.save(folder / name / f"{name}_{number + 1:04d}.jpg", quality=90 - 20 * number)
    Image.new("RGB", (300, 300), (90, 120, 90)).save(folder / "wall.jpg")
    return folder


def run(capsys, *words):
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_enrol_then_compare(pictures, tmp_path, capsys):
    out = tmp_path / "a.tpl"
    first, second = sorted((pictures / "astronaut").iterdir())
    code, text, _ = run(capsys, "face", "enroll", first, second, "--out", out, "--json")
    report = json.loads(text)
    assert code == 0
    assert out.stat().st_size == 128
    assert [row["used"] for row in report["pictures"]] == [True, True]
    assert report["pictures"][0]["quality"]["eye_distance_px"] > 24
    code, text, _ = run(capsys, "face", "compare", out, second, "--json")
    result = json.loads(text)
    assert code == 0
    assert result["match"]
    assert result["false_match_rate"] <= 1e-4
    assert result["model"] == report["model"]
    stranger = pictures / "hopper" / "hopper_0001.jpg"
    code, text, _ = run(capsys, "face", "compare", out, stranger, "--rate", "1e-3")
    assert code == 1
    assert text.startswith("no match")


def test_enrol_a_photo(pictures, tmp_path, capsys):
    out = tmp_path / "a.webp"
    first, second = sorted((pictures / "astronaut").iterdir())
    code, text, _ = run(capsys, "face", "enroll", first, "--out", out, "--photo", 64)
    assert code == 0
    assert f"photo of {out.stat().st_size} bytes" in text
    assert out.stat().st_size < 700
    with Image.open(out) as photo:
        assert (photo.format, photo.size) == ("WEBP", (64, 64))
    assert run(capsys, "face", "compare", out, second)[0] == 0


def test_enrolment_refuses_two_people_and_poor_pictures(pictures, tmp_path, capsys):
    out = tmp_path / "x.tpl"
    two = [pictures / name / f"{name}_0001.jpg" for name in ("astronaut", "hopper")]
    code, _, error = run(capsys, "face", "enroll", *two, "--out", out)
    assert code == 1
    assert "one person" in error
    code, text, error = run(capsys, "face", "enroll", pictures / "wall.jpg", "--out", out)
    assert code == 1
    assert "no face" in text
    assert "sufficient quality" in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("compare", "nowhere.jpg", "nowhere.jpg"), "nowhere.jpg"),
        (("compare", "nowhere.jpg", "nowhere.jpg", "--rate", "1e-9"), "--rate is one of"),
        (("compare", "a", "b", "--embedder", "other"), "no face-embedder named 'other'"),
        (("compare", "a", "b", "--models", "nowhere"), "cannot be read"),
        (("spoof-eval", "--clips", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_used_is_named(capsys, words, message):
    code, _, error = run(capsys, "face", *words)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_evaluate_measures_pairs(pictures, tmp_path, capsys):
    a, h = ("astronaut/astronaut_000{}.jpg".format, "hopper/hopper_000{}.jpg".format)
    pairs = tmp_path / "pairs.txt"
    rows = [
        (a(1), a(2), 1),
        (h(1), h(2), 1),
        (a(1), h(1), 0),
        (h(2), a(2), 0),
        (a(1), "wall.jpg", 0),
    ]
    pairs.write_text("".join(f"{x},{y},{z}\n" for x, y, z in rows))
    plot = tmp_path / "det.png"
    code, text, _ = run(
        capsys, "face", "evaluate", "--images", pictures, "--pairs", pairs, "--json", "--plot", plot
    )
    result = json.loads(text)
    assert code == 0
    assert result["accuracy"] == 1.0
    assert result["eer"] == 0.0
    assert result["pairs"] == 5
    assert result["failure_to_acquire"] == pytest.approx(1 / 5)
    with Image.open(plot) as drawn:
        assert drawn.size[0] > 600
    code, text, _ = run(
        capsys, "face", "evaluate", "--images", pictures, "--pairs", pairs, "--photo", "64"
    )
    assert code == 0
    assert "accuracy: 1.0000" in text


def test_pairs_are_read_in_both_forms():
    lfw = read_pairs("2 2\nA 1 4\nB 1 2\nA 1 B 2\nB 2 C 1\nD 1 2\nE 1 2\nA 1 D 3\nB 1 E 1\n")
    assert len(lfw) == 8
    assert lfw[0].first == "A/A_0001.jpg"
    assert lfw[0].second == "A/A_0004.jpg"
    assert [pair.same for pair in lfw] == [True, True, False, False] * 2
    assert [pair.fold for pair in lfw] == [0] * 4 + [1] * 4
    assert lfw[6].second == "D/D_0003.jpg"
    plain = read_pairs("a.jpg b.jpg 1\na.jpg\tc.jpg\t0\n")
    assert [pair.same for pair in plain] == [True, False]
    for wrong in ("a.jpg b.jpg", "a b 2", "10 300\nA 1", "10 300\nA x y"):
        with pytest.raises(ValueError, match=r"not a pair|invalid literal"):
            read_pairs(wrong)


def test_calibrate_wants_enough_people(pictures, capsys, tmp_path):
    code, _, error = run(capsys, "face", "calibrate", "--images", pictures, "--out", tmp_path)
    assert code == 2
    assert "too few" in error
    assert not list(tmp_path.iterdir())


def test_rendered_attacks_are_made_and_measured(pictures, tmp_path, capsys):
    code, text, _ = run(
        capsys,
        "face",
        "spoof-render",
        "--faces",
        pictures,
        "--out",
        tmp_path,
        "--frames",
        4,
        "--clips",
        1,
        "--json",
    )
    assert code == 0
    made = json.loads(text)["clips"]
    assert made["bona-fide"] == made["screen-phone"] == 1
    code, text, _ = run(capsys, "face", "spoof-eval", "--clips", tmp_path, "--json")
    found = json.loads(text)
    assert code == 0
    assert set(found["species"]) == set(made)
    assert 0 <= found["apcer_highest"] <= 1
    assert found["species"]["bona-fide"]["bpcer"] == found["bpcer"]


@pytest.mark.parametrize(
    ("installed", "code", "said"),
    [
        ({"ai_edge_litert"}, 0, ["litert"]),  # as on Python 3.13, which has no tflite-runtime
        (set(), 1, ["litert or tflite-runtime is not installed"]),
    ],
)
def test_models_are_verified_with_what_is_installed(capsys, monkeypatch, installed, code, said):
    real = importlib.util.find_spec
    runtimes = {"ai_edge_litert", "tflite_runtime"}
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name in runtimes - installed else real(name, *more),
    )
    found, text, _ = run(capsys, "models", "verify")
    assert found == code
    assert [word for word in said if word not in text] == []
    assert "with tflite-runtime" not in text


def test_models_list_verify_and_add(tmp_path, capsys, runtime, pictures):
    code, text, _ = run(capsys, "models", "list", "--json")
    rows = json.loads(text)
    assert code == 0
    embedder = next(row for row in rows if row["kind"] == "face-embedder")
    code, text, _ = run(capsys, "models", "verify", "--runtime", runtime)
    assert code == 0
    assert embedder["name"] in text

    from agent.biometrics.manifest import load_manifest, shipped_dir

    entry = tmp_path / "entry.toml"
    entry.write_text(
        'name = "mine"\nkind = "face-embedder"\nlicence = "x"\norigin = "mine"\n'
        "[input]\nheight = 150\nwidth = 150\n"
        "[chip]\nright_eye = [45.2, 47.7]\nleft_eye = [100.2, 47.1]\nnose = [70.6, 77.6]\n"
        "right_mouth = [50.6, 101.3]\nleft_mouth = [96.2, 100.8]\n"
    )
    model = shipped_dir() / embedder["file"]
    mine = tmp_path / "mine"
    words = ("models", "add", model, "--to", mine, "--entry", entry, "--runtime", runtime)
    code, text, _ = run(capsys, *words)
    assert code == 0
    assert "calibrate" in text
    spec = load_manifest(mine).find("", "face-embedder")
    assert spec.name == "mine"
    assert spec.sha256 == embedder["sha256"]
    assert not spec.calibrated
    assert run(capsys, "models", "verify", "--models", mine)[0] == 0
    # A detector was brought along: the new network can be used and calibrated at once.
    mine_manifest, shipped = load_manifest(mine), load_manifest(calibrated=False)
    assert mine_manifest.find("", "face-detector") == shipped.find("", "face-detector")
    _, _, error = run(capsys, "face", "calibrate", "--models", mine, "--images", pictures)
    assert "4 pairs of different people are too few" in error
    code, _, error = run(capsys, *words)
    assert code == 2
    assert "already" in error
    (mine / spec.file).write_bytes(b"\0" + model.read_bytes()[1:])
    code, text, _ = run(capsys, "models", "verify", "--models", mine)
    assert code == 1
    assert "SHA-256" in text


def test_calibrate_writes_thresholds_that_are_then_used(pictures, tmp_path, capsys, astronaut):
    """Eighty variants of one portrait stand for eighty people: the way is tried, not the numbers."""
    import cv2

    from agent.biometrics.manifest import load_manifest, shipped_dir

    crowd, mine = tmp_path / "crowd", tmp_path / "models"
    rng = np.random.default_rng(4)
    for number in range(80):
        corners = np.float32([[0, 0], [219, 0], [0, 219]])
        warp = cv2.getAffineTransform(corners, corners + rng.normal(0, 9, (3, 2)).astype("float32"))
        bent = cv2.warpAffine(astronaut, warp, (220, 220), borderMode=cv2.BORDER_REPLICATE)
        (crowd / f"person-{number}").mkdir(parents=True)
        Image.fromarray(bent).save(crowd / f"person-{number}" / "one.jpg")
    mine.mkdir()
    for path in shipped_dir().iterdir():
        if path.suffix in {".tflite", ".toml"} and path.name != "calibration.toml":
            (mine / path.name).symlink_to(path)
    code, text, _ = run(capsys, "face", "calibrate", "--models", mine, "--images", crowd, "--json")
    found = json.loads(text)
    assert code == 0
    assert found["from"].startswith("80 people, 80 pictures, 3160")
    assert set(found["thresholds"]) == {"1e-1", "1e-2"}
    spec = load_manifest(mine).find("", "face-embedder")
    assert spec.thresholds == found["thresholds"]
    assert load_manifest(mine, calibrated=False).find("", "face-embedder") == load_manifest().find(
        "", "face-embedder"
    )
    first = pictures / "astronaut" / "astronaut_0001.jpg"
    words = ("face", "compare", first, first, "--models", mine, "--rate", "1e-2", "--json")
    _, text, _ = run(capsys, *words)
    assert json.loads(text)["threshold"] == found["thresholds"]["1e-2"]
