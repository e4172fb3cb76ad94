"""Reading callgrind's files and holding counts against a reference; and that the counted work is fixed."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.bench import arm, callgrind, counted, counted_codes, instructions
from tests.bench.callgrind import CountError, Counts, FormatError
from tests.pi import arm64

PART = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
part: 3

desc: Trigger: --dump-before=*getsid*

positions: line
events: Ir
summary: 160

ob=(8) /usr/bin/python3.11
fl=(1) ???
fn=(2) _PyEval_EvalFrameDefault
0 40
+3 10
cob=(3) /usr/lib/x86_64-linux-gnu/libc.so.6
cfi=(412) ???
cfn=(7) malloc
calls=10 0
* 30
-2 20
ob=(3)
fn=(7)
12 30
ob=(9) /venv/lib/python3.11/site-packages/cryptography/hazmat/bindings/_rust.abi3.so
fn=(11) 0x0000000000006200
0 50
ob=(8)
fn=(2)
4 10
totals: 160
"""


def test_own_costs_are_summed_by_library_and_calls_are_left_out() -> None:
    assert callgrind.by_library(PART) == {
        "CPython": 80,
        "C library": 30,
        "cryptography with its OpenSSL": 50,
    }


@pytest.mark.parametrize(
    "text",
    [
        PART.replace("events: Ir", "events: Ir Dr"),
        PART.replace("12 30", "12 31"),
        PART.replace("summary: 160", "summary: 159"),
        "",
    ],
    ids=["other events", "a cost", "a sum", "nothing"],
)
def test_a_file_that_does_not_add_up_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        callgrind.by_library(text)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/usr/bin/python3.11", "CPython"),
        ("/usr/lib/libpython3.13.so.1.0", "CPython"),
        ("/v/_rust.abi3.so", "cryptography with its OpenSSL"),
        ("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "OpenSSL of the system"),
        ("/v/zxingcpp.cpython-311-x86_64-linux-gnu.so", "zxing-cpp"),
        ("/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6", "SQLite"),
        ("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "C library"),
        ("/v/numpy/core/_multiarray_umath.cpython-311-x86_64-linux-gnu.so", "NumPy"),
        ("/v/msgspec/_core.cpython-311-x86_64-linux-gnu.so", "msgspec"),
        ("/usr/lib/libsomething.so.1", "libsomething"),
        ("???", "unknown"),
    ],
)
def test_objects_are_named_for_a_reader(path: str, name: str) -> None:
    assert callgrind.library(path) == name


def test_the_middle_round_counts_and_what_lies_between_does_not() -> None:
    copied = PART.replace("12 30", "12 930").replace("summary: 160", "summary: 1060")
    found = callgrind.gather(
        [("-", copied), ("a\twork\t10", PART), ("-", copied), ("a\twork\t10", copied),
         ("-", PART), ("a\twork\t10", PART), ("a\tfloor\t5", PART)]
    )  # fmt: skip
    assert found["a"].ir == 16.0
    assert found["a"].floor == 32.0
    assert found["a"].ratio == 0.5
    assert next(iter(found["a"].shares.items())) == ("C library", 990 / 1380)
    assert sum(found["a"].shares.values()) == pytest.approx(1)


def test_a_running_count_is_parted_at_its_marks() -> None:
    labels = ["-", "a\twork\t10", "-", "a\twork\t10", "-", "a\tfloor\t4"]
    found = arm.gather(labels, ["1000", "1500", "9000", "9520", "9521", "9601"])
    assert found["a"].ir == 51.0
    assert found["a"].floor == 20.0
    with pytest.raises(CountError, match="5 marks"):
        arm.gather(labels, ["1"] * 5)


def test_without_a_tree_the_next_step_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("IDGATE_TREE", str(tmp_path))
    with pytest.raises(CountError, match=r"setup\.sh arm64"):
        arm.tree()


def test_the_tree_that_the_arm64_trial_keeps_is_found(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("IDGATE_TREE", raising=False)
    monkeypatch.setenv("IDGATE_CACHE", str(tmp_path))
    kept = arm64.installed("bookworm")
    packages = kept / "opt/idgate/venv/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    with pytest.raises(CountError, match="tests' needs"):
        arm.tree()
    (packages / "pytest").mkdir()
    assert arm.tree() == kept


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_the_plugin_compiles_without_a_warning(tmp_path) -> None:
    out = tmp_path / "insns.so"
    done = subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", out, arm.PLUGIN],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_changes_are_parts_of_the_reference_and_only_growth_counts() -> None:
    moved = callgrind.changes(
        {"same": 100, "more": 105.1, "less": 50, "new": 7, "limit": 104.9},
        {"same": 100, "more": 100, "less": 100, "gone": 1, "limit": 100},
    )
    assert moved["same"] == 0
    assert moved["less"] == -0.5
    assert moved["new"] is None
    assert callgrind.grown(moved) == ["more"]


def test_the_spread_is_that_of_the_works_runs() -> None:
    runs = [{"a": Counts(1000), "b": Counts(10)}, {"a": Counts(1001), "b": Counts(10)}]
    assert callgrind.spread(runs) == {"a": 0.001, "b": 0.0}


@pytest.mark.parametrize(
    ("changed", "differs", "code"),
    [(0.051, [], 1), (0.049, [], 0), (-0.5, [], 0), (0.9, ["python: one, reference another"], 0)],
)
def test_growth_fails_where_all_else_is_the_same(changed, differs, code) -> None:
    said: list[str] = []
    data = {
        "runs": 1,
        "spread": {"a": 0.0},
        "changes": {"a": changed, "b": None},
        "differs": differs,
    }
    assert instructions.verdict(data, said.append) == code
    assert any("a: +5.10%" in line for line in said) == (changed == 0.051)
    assert any("not judged" in line for line in said) == bool(differs)


def test_environments_differ_in_words() -> None:
    assert callgrind.differences({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}) == [
        "b: 2, reference 3",
        "c: absent, reference 4",
    ]


def test_codes_and_frames_are_the_same_each_time() -> None:
    made = []
    for _ in range(2):
        with counted_codes.fixed():
            codes = counted_codes.Codes()
            cases = {name: case.payload for name, case in counted.bench_formats._cases().items()}
            made.append((codes.dynamic(3), codes.static(), cases))
    assert made[0] == made[1]
    assert codes.dynamic(3) != made[0][0]  # outside, chance is back


def test_the_reference_names_every_work_and_each_can_be_done(tmp_path) -> None:
    labels, names = io.StringIO(), []
    with ExitStack() as stack:
        for work in counted.works(counted_codes.draw(), tmp_path, stack):
            counted.count(work, labels)
            names.append(work.name)
    lines = labels.getvalue().splitlines()
    assert lines[::2] == ["-"] * (len(lines) // 2)
    kinds = [line.split("\t") for line in lines[1::2]]
    assert sum(name == counted.WHOLE for name, _, _ in kinds) == counted.ROUNDS
    reference = instructions.load()
    alone = [name for name in names if name != "scan, daemon's half"]
    for kind, expected in (("callgrind", names), ("arm64", alone)):
        stored = reference[kind]
        assert list(stored["instructions"]) == expected
        assert min(stored["instructions"].values()) > 0
        assert list(stored["spread between runs"]) == expected
        assert max(stored["spread between runs"].values()) < 0.005  # a tenth of what is judged


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_callgrind_itself_writes_what_is_read(tmp_path) -> None:
    out = tmp_path / "out"
    script = "import os; os.getsid(0); sum(range(10**5)); os.getsid(0)"
    subprocess.run(
        ["valgrind", "-q", "--tool=callgrind", "--dump-before=*getsid*",
         f"--callgrind-out-file={out}", sys.executable, "-S", "-c", script],
        check=True, env={"PYTHONHASHSEED": "0"}, capture_output=True,
    )  # fmt: skip
    counted_between = callgrind.by_library((tmp_path / "out.2").read_text("utf-8", "replace"))
    assert counted_between["CPython"] > 10**6
