"""docs/architecture.md, its drawing, README and .importlinter say one thing, and it is the code's.

The page is read, not the meaning: that names exist, that a step's module is joined to the one before, that one order of the
packages stands everywhere. Nothing of `agent` is imported here; its source is.
"""

from __future__ import annotations

import ast
import configparser
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.sources import called, dotted, is_module, is_package, joined, source
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
DRAWING = ROOT / "docs/images/architecture.svg"
WAYS = {"frame": "A frame", "command": "A command", "event": "An event", "trust": "A trust update"}
PLAIN_MODULES = 6
"""So many may stand in `agent/` beside its packages; past that, one of them belongs into a package."""
UNTESTED: dict[str, str] = {}
"""Package -> why no directory of the same path stands under tests/. Empty, and meant to stay so."""

Floors = list[set[str]]


# --- the order of the packages


def floors_of_the_contract() -> Floors:
    """Return the floors of .importlinter from the bottom up; `hal` is the lowest."""
    parser = configparser.ConfigParser()
    parser.read_string((ROOT / ".importlinter").read_text("utf-8"))
    lines = parser["importlinter:contract:layers"]["layers"].split("\n")
    floors = [{word.strip() for word in line.split("|")} for line in lines if line.strip()]
    below = parser["importlinter:contract:floors"]["layers"].split()
    assert below == ["agent", "hal"]
    return [{"hal"}, *reversed(floors)]


def floors_of_the_page() -> Floors:
    """Return the floors of the page's table; their numbers must count up from 1."""
    floors: dict[int, set[str]] = {}
    for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \| \S", PAGE, re.MULTILINE):
        floors.setdefault(int(number), set()).add(name)
    assert list(floors) == list(range(1, len(floors) + 1))
    return list(floors.values())


def floors_of_the_readme() -> Floors:
    """Return the floors of the sentence in README's "Developing"."""
    section = (ROOT / "README.md").read_text("utf-8").split("\n## Developing\n")[1]
    sentence = re.search(r"From the bottom up[^:]*:\s(.+?)\.\n", section, re.DOTALL)
    assert sentence is not None
    return [set(re.findall(r"`(\w+)`", part)) for part in sentence[1].split(";")]


def floors_of_the_drawing() -> Floors:
    """Return the floors of the drawing from the bottom up: texts of one height are one floor."""
    heights: dict[float, set[str]] = {}
    for each in texts("package"):
        heights.setdefault(float(each.get("y", "")), set()).add(each.text or "")
    return [heights[height] for height in sorted(heights, reverse=True)]


@pytest.mark.parametrize(
    "floors", [floors_of_the_page, floors_of_the_readme, floors_of_the_drawing]
)
def test_one_order_of_the_packages(floors) -> None:
    assert floors() == floors_of_the_contract()


def test_every_package_of_agent_has_a_floor() -> None:
    inside = {path.stem for path in (ROOT / "agent").iterdir() if is_package(path)}
    inside |= {path.stem for path in plain_modules()}
    assert set().union(*floors_of_the_page()) == inside | {"hal"}


# --- the tree


def plain_modules() -> list[Path]:
    return [path for path in (ROOT / "agent").glob("*.py") if path.stem != "__init__"]


def packages(top: str) -> set[str]:
    """Return the packages below a top one that have modules, as paths."""
    return {
        str(path.parent.relative_to(ROOT))
        for path in (ROOT / top).rglob("*.py")
        if path.stem != "__init__"
    }


def test_few_plain_modules_stand_in_agent() -> None:
    assert len(plain_modules()) <= PLAIN_MODULES


@pytest.mark.parametrize("top", ["agent", "hal"])
def test_every_package_has_its_tests_in_the_same_place(top: str) -> None:
    without = {
        name for name in packages(top) if not list((ROOT / "tests" / name).glob("test_*.py"))
    }
    assert without == {name for name in UNTESTED if name.split("/")[0] == top}


@pytest.mark.parametrize("top", ["agent", "hal"])
def test_every_directory_of_tests_stands_in_the_product(top: str) -> None:
    mirrored = {
        str(path.parent.relative_to(ROOT / "tests"))
        for path in (ROOT / "tests" / top).rglob("*.py")
    }
    assert {name for name in mirrored if not is_package(ROOT / name)} == set()


# --- the four ways

STEP = re.compile(
    r"^(?P<number>\d+)\. (?:\*(?P<seam>[^*]+)\.\* )?(?P<text>`(?P<lead>[\w/]+\.py)` .+)$"
)
SEAM = re.compile(
    r"(?:from (?P<origin>\d+))?(?:, )?"
    r"(?P<kind>queue|socket|broker|network or stick|callback|handed back|(?:queue, )?handed in)?"
    r"(?:: (?P<items>.+))?"
)
TICKED = re.compile(r"`([^`]+)`")


def steps(way: str, page: str = PAGE) -> list[str]:
    """Return the lines of a way's list."""
    section = page.split(f"\n### {way}\n")[1].split("\n#", maxsplit=1)[0]
    return re.findall(r"^\d+\. .+$", section, re.MULTILINE)


def complaints(lines: list[str]) -> list[str]:
    """Return what is wrong with a way; nothing, for one that is in the code."""
    wrong, before = [], []
    for number, line in enumerate(lines, 1):
        step = STEP.fullmatch(line)
        if step is None or int(step["number"]) != number:
            return [*wrong, f"{number}: not a step"]
        modules = [dotted(each) for each in TICKED.findall(step["text"]) if each.endswith(".py")]
        missing = [each for each in modules if not is_module(each)]
        if missing:
            return [*wrong, *(f"{number}: no module {each}" for each in missing)]
        handed = TICKED.findall(step["seam"] or "")
        wrong += [f"{number}: {what}" for what in in_step(step["text"], handed)]
        wrong += [f"{number}: {what}" for what in at_seam(step["seam"], before, modules[0])]
        before.append(modules)
    return wrong


def in_step(text: str, handed: list[str]) -> list[str]:
    """Check names: behind a module stands what it defines, then what it at least uses; and the thread."""
    wrong, module, first, lead = [], "", True, ""
    for word in TICKED.findall(text):
        if word.endswith(".py"):
            module, first = dotted(word), True
            lead = lead or module
            continue
        if word not in source(module).defined and (first or not called(module, word)):
            wrong.append(f"no {word} in {module}")
        first = False
    ticked = TICKED.findall(text)
    words = [word for word in [*handed, *ticked] if not word.endswith(".py")]
    others = [dotted(word) for word in ticked if word.endswith(".py")]
    wrong += [
        f"{lead} has nothing to do with {other}"
        for other in others
        if not joined(lead, other, words)
    ]
    thread = re.search(r"^`[^`]+` (?:`[^`]+` )+\(([\w, -]+)\)", text)
    if thread is None or thread[1] not in threads_of_the_page() | {"decoder", "elsewhere"}:
        wrong.append("no such thread")
    return wrong


def at_seam(seam: str | None, before: list[list[str]], lead: str) -> list[str]:
    """Check that a step's module is joined to one before it, through what the seam names."""
    if not before:
        return [] if seam is None else ["a seam before the first step"]
    form = SEAM.fullmatch(seam or "")
    if form is None:
        return [f"no such seam: {seam}"]
    items = TICKED.findall(form["items"] or "")
    if form["kind"] and not items:
        return ["a seam that names nothing"]
    words = [item for item in items if not item.endswith(".py")]
    between = [dotted(item) for item in items if item.endswith(".py")]
    if any(not is_module(each) for each in between):
        return ["a seam through no module"]
    last = before[int(form["origin"]) - 1 if form["origin"] else -1]
    starts = last if words else last[:1]
    for start in starts:
        chain = [start, *between, lead]
        if all(joined(one, other, words) for one, other in pairwise(chain)) and all(
            any(called(each, word) for each in chain) for word in words
        ):
            return []
    return [f"{lead} is not joined to {', '.join(starts)}"]


@pytest.mark.parametrize("way", WAYS.values())
def test_a_way_is_in_the_code(way: str) -> None:
    assert len(steps(way)) > 5
    assert complaints(steps(way)) == []


LEDGER = "1. `agent/journal/journal.py` `Journal.append` (decide): x."


@pytest.mark.parametrize(
    ("second", "wrong"),
    [
        ("2. `agent/journal/store.py` `Store.acknowledge` (reporter): x.", []),
        ("2. `agent/journal/shop.py` `Store` (reporter): x.", ["2: no module agent.journal.shop"]),
        ("2. `agent/journal/store.py` `Store.sell` (reporter): x.", ["2: no Store.sell in agent.journal.store"]),
        ("2. `agent/journal/store.py` `Store` (reporter): and `Gate`.", ["2: no Gate in agent.journal.store"]),
        ("2. `agent/journal/store.py` `Store` (cellar): x.", ["2: no such thread"]),
        ("2. `agent/journal/store.py` `Store` (reporter): `agent/gate/gate.py` `Gate`.",
         ["2: agent.journal.store has nothing to do with agent.gate.gate"]),
        ("2. `agent/report/engine.py` `Engine` (reporter): x.",
         ["2: agent.report.engine is not joined to agent.journal.journal"]),
        ("2. *handed in: `agent/journal/model.py`.* `agent/report/engine.py` `Engine` (reporter): x.", []),
        ("2. *handed in: `agent/gate/gate.py`.* `agent/report/engine.py` `Engine` (reporter): x.",
         ["2: agent.report.engine is not joined to agent.journal.journal"]),
        ("2. *queue: `JournalFailed`.* `agent/journal/store.py` `Store` (reporter): x.", []),
        ("2. *queue: `Fault`.* `agent/report/engine.py` `Engine` (reporter): x.", []),
        ("2. *queue: `Command`.* `agent/report/engine.py` `Engine` (reporter): x.",
         ["2: agent.report.engine is not joined to agent.journal.journal"]),
        ("2. *magic: `Fault`.* `agent/report/engine.py` `Engine` (reporter): x.", ["2: no such seam: magic: `Fault`"]),
        ("3. `agent/journal/store.py` `Store` (reporter): x.", ["2: not a step"]),
    ],
)  # fmt: skip
def test_a_way_that_is_not_in_the_code_is_refused(second: str, wrong: list[str]) -> None:
    assert complaints([LEDGER, second]) == wrong


# --- threads


def threads_of_the_page() -> set[str]:
    section = PAGE.split("\n## Threads and processes\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| ([\w, -]+) \| [^|]+ \| `[\w/.]+` \|$", section, re.MULTILINE))


def test_the_threads_are_those_that_the_daemon_starts() -> None:
    """Constant names are found where a thread is made; the others stand here."""
    found = {"main", "face, finger", "gatekeeper"}
    for path in [*(ROOT / "agent").rglob("*.py"), *(ROOT / "hal").glob("*.py")]:
        if {"demo", "desk"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and (name := thread_name(node)):
                found.add(name)
    assert threads_of_the_page() == found


def thread_name(call: ast.Call) -> str:
    """Return the name that a call gives to a thread; "" for any other call."""
    method = getattr(call.func, "attr", "")
    given: list[ast.expr] = []
    if method == "Thread":
        given = [each.value for each in call.keywords if each.arg == "name"]
    elif method == "start":
        given = call.args[:1]
    match given:
        case [ast.Constant(value=str(name))]:
            return name
        case [ast.JoinedStr(values=[ast.Constant(value=str(name)), *_])]:
            return f"{name}NAME"
        case _:
            return ""


def test_every_file_that_the_page_names_is_there() -> None:
    named = {
        word for word in TICKED.findall(PAGE) if re.fullmatch(r"[\w/]+\.py|\w+(?:/\w+)+", word)
    }
    assert len(named) > 30
    assert {name for name in named if not (ROOT / name).exists()} == set()


# --- the drawing


def texts(kind: str) -> list[ET.Element]:
    root = ET.fromstring(DRAWING.read_text("utf-8"))
    return [each for each in root.iter() if each.get("class") == kind]


def floor_of(path: str) -> int:
    """Return which floor a module stands on, counted from the bottom."""
    name = "hal" if path.startswith("hal/") else path.split("/")[1].removesuffix(".py")
    return next(at for at, floor in enumerate(floors_of_the_contract()) if name in floor)


@pytest.mark.parametrize(("name", "title"), WAYS.items())
def test_the_drawing_has_every_step_on_its_floor(name: str, title: str) -> None:
    """A step's number stands nearest to the floor of its module, and the line passes there."""
    heights = sorted({float(each.get("y", "")) for each in texts("package")}, reverse=True)
    (way,) = [
        each for each in ET.fromstring(DRAWING.read_text("utf-8")).iter() if each.get("id") == name
    ]
    drawn = []
    for number in (each for each in way.iter() if each.get("class") == "number"):
        y = float(number.get("y", ""))
        drawn.append((number.text, min(range(len(heights)), key=lambda at: abs(heights[at] - y))))
    leads = [STEP.fullmatch(line)["lead"] for line in steps(title)]
    assert drawn == [(str(at), floor_of(lead)) for at, lead in enumerate(leads, 1)]
    (line,) = [each for each in way.iter() if each.tag.endswith("polyline")]
    assert len(line.get("points", "").split()) == len(leads)


def test_the_ways_differ_without_colour() -> None:
    """Each line has a dash pattern of its own."""
    root = ET.fromstring(DRAWING.read_text("utf-8"))
    lines = [
        each
        for way in root.iter()
        if way.get("id") in WAYS
        for each in way
        if each.tag.endswith("polyline")
    ]
    assert len({each.get("stroke-dasharray") for each in lines}) == len(WAYS)
