"""The list of files that phones keep is that of the files that there are."""

from __future__ import annotations

import importlib.util
import shutil
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT

WALLET = ROOT / "agent/wallet"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("packaging_wallet", ROOT / "packaging/wallet.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_is_up_to_date(script):
    assert script.page() == (WALLET / "index.html").read_text(), "run python packaging/wallet.py"
    assert script.written() == script.WORKER.read_text(), "run python packaging/wallet.py"


def test_what_is_fetched_first_is_what_the_page_imports(script):
    names = script.modules()
    assert {"app.js", "views/code.js", "vendor/lean-qr/lean-qr.js", "cose.js"} <= set(names)
    # These are fetched only where they are needed.
    assert not {"strings/en.js", "vendor/jsqr/jsQR.js", "sw.js"} & set(names)
    assert all((WALLET / name).is_file() for name in names)


def test_the_list_holds_what_the_page_needs(script):
    names = script.files()
    assert {"app.js", "style.css", "strings/zh.js", "vendor/jsqr/jsQR.js"} <= set(names)
    assert not {"sw.js", "index.html", "issuers.json", "headers.json", "package.json"} & set(names)


@pytest.mark.parametrize("changed", ["index.html", "views/code.js", "sw.js", "icons/icon.svg"])
def test_every_change_makes_another_version(script, tmp_path: Path, changed):
    copy = tmp_path / "wallet"
    shutil.copytree(WALLET, copy)
    before = script.written(copy)
    file = copy / changed
    file.write_bytes(file.read_bytes() + b"\n")
    after = script.written(copy)
    assert (
        before.split(script.BEGIN)[1].splitlines()[0]
        != after.split(script.BEGIN)[1].splitlines()[0]
    )


def test_what_phones_keep_is_in_the_wheel(script):
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    patterns = [*data["*"], *(pattern.removeprefix("**/") for pattern in data["agent.wallet"])]
    licences = [path.relative_to(WALLET).as_posix() for path in WALLET.rglob("LICENSE*")]
    icons = [path.relative_to(WALLET).as_posix() for path in (WALLET / "icons").iterdir()]
    for name in [*script.files(), *icons, "index.html", "sw.js", "headers.json", *licences]:
        assert any(fnmatch(Path(name).name, pattern) for pattern in patterns), name
