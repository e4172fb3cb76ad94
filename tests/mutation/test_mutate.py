"""The judge of the mutants, on results written by hand; mutmut itself is not run."""

from __future__ import annotations

import ast
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation import cores, mutants, mutate, verdict, workshop
from tests.mutation.cores import BadSettings, Change, Core, Equivalent, Part, Settings
from tests.mutation.mutants import Mutant
from tests.mutation.verdict import Fate, Row

SOURCE = """\
LIMIT = 3


class Meter:
    def full(self, count: int) -> bool:
        # as the standard says
        return count >= LIMIT


def check(count: int) -> None:
    if count > LIMIT:
        raise ValueError("too many")
"""
# What mutmut 3.8 makes of it, shortened.
MUTATED = """\
LIMIT = 3
from mutmut.mutation.trampoline import wrap_in_trampoline as _mutmut_mutated, MutantDict
mutants_xǁMeterǁfull__mutmut: MutantDict = {}  # type: ignore


class Meter:
    @_mutmut_mutated(mutants_xǁMeterǁfull__mutmut)
    def full(self, count: int) -> bool:
        # as the standard says
        return count >= LIMIT
    def xǁMeterǁfull__mutmut_orig(self, count: int) -> bool:
        # as the standard says
        return count >= LIMIT
    def xǁMeterǁfull__mutmut_1(self, count: int) -> bool:
        # as the standard says
        return count > LIMIT


def x_check__mutmut_orig(count: int) -> None:
    if count > LIMIT:
        raise ValueError("too many")


def x_check__mutmut_1(count: int) -> None:
    if count >= LIMIT:
        raise ValueError("too many")


def x_check__mutmut_2(count: int) -> None:
    if count > LIMIT:
        raise ValueError(None)


def x_check__mutmut_3(count: int) -> None:
    if count > LIMIT:
        raise ValueError("XXtoo manyXX")
"""
METER = Core("meter", (Part("", ("agent/meter.py",), ("tests",)),))
FULL = Change("meter", "Meter.full", "return count >= LIMIT", "return count > LIMIT")
CHECK = Change("meter", "check", "if count > LIMIT:", "if count >= LIMIT:")


def mutant(change: Change, number: int = 1, *, message: bool = False, twin: int = 0) -> Mutant:
    key = f"agent.meter.x_{change.function}__mutmut_{number}"
    return Mutant(key, "agent/meter.py", 7, change, twin, message)


def entry(change: Change, times: int = 1) -> Equivalent:
    return Equivalent(change, "the same either way", times)


def judged(*fates: tuple[Mutant, Fate], named: tuple[Equivalent, ...] = (), whole=True) -> Row:
    return verdict.judge("meter", fates, named, whole=whole)


class TestReading:
    def test_each_mutant_is_known_by_what_it_changes(self) -> None:
        found = mutants.read(METER, "agent/meter.py", SOURCE, MUTATED)
        assert [(m.key, m.line, m.change.function, m.message) for m in found] == [
            ("agent.meter.xǁMeterǁfull__mutmut_1", 7, "Meter.full", False),
            ("agent.meter.x_check__mutmut_1", 11, "check", False),
            ("agent.meter.x_check__mutmut_2", 12, "check", False),
            ("agent.meter.x_check__mutmut_3", 12, "check", True),
        ]
        assert found[0].change == FULL
        assert found[1].change == CHECK

    def test_its_name_stays_when_other_lines_come_and_go(self) -> None:
        moved = MUTATED.replace("# as the standard says", "count += 0\n        # ISO")
        before = mutants.read(METER, "agent/meter.py", SOURCE, MUTATED)
        after = mutants.read(METER, "agent/meter.py", SOURCE, moved)
        assert [m.change for m in before] == [m.change for m in after]

    def test_the_same_change_at_two_places_is_told_apart_by_order(self) -> None:
        twice = MUTATED.replace("__mutmut_2(", "__mutmut_9(").replace("ValueError(None)", "X()")
        twin = MUTATED[
            MUTATED.index("def x_check__mutmut_1") : MUTATED.index("def x_check__mutmut_2")
        ]
        twin = twin.replace("mutmut_1", "mutmut_4")
        found = mutants.read(METER, "agent/meter.py", SOURCE, twice + twin)
        assert [m.twin for m in found if m.change == CHECK] == [0, 1]

    def test_neither_indentation_nor_a_comment_is_a_change(self) -> None:
        text = MUTATED.replace(
            "        return count > LIMIT", "      # or more\n      return count > LIMIT"
        )
        assert mutants.read(METER, "agent/meter.py", SOURCE, text)[0].change == FULL

    def test_a_change_in_the_first_line_shows_the_functions_own_name(self) -> None:
        text = MUTATED.replace("x_check__mutmut_1(count: int)", "x_check__mutmut_1(count: int = 1)")
        change = mutants.read(METER, "agent/meter.py", SOURCE, text)[1].change
        assert change.after.splitlines()[0] == "def check(count: int = 1) -> None:"

    @pytest.mark.parametrize(
        ("old", "new", "at", "before", "after"),
        [
            (["a", "b", "c"], ["a", "x", "c"], 1, ["b"], ["x"]),
            (["a", "b", "c"], ["a", "c"], 1, ["b"], []),
            (["a", "a"], ["a"], 1, ["a"], []),
            (["a"], ["a"], 1, [], []),
        ],
    )
    def test_the_lines_that_differ(self, old, new, at, before, after) -> None:
        assert mutants.differing(old, new) == (at, before, after)


class TestPruning:
    FULL_TEXT = """\
import os
mutants_x_f__mutmut: MutantDict = {}  # type: ignore
mutants_x_g__mutmut: MutantDict = {}  # type: ignore


@_mutmut_mutated(mutants_x_f__mutmut)
def f(): return 1
def x_f__mutmut_orig(): return 1
def x_f__mutmut_1(): return 2
def x_f__mutmut_2(): return None

mutants_x_f__mutmut['_mutmut_orig'] = x_f__mutmut_orig # type: ignore # mutmut generated
mutants_x_f__mutmut['x_f__mutmut_1'] = x_f__mutmut_1 # type: ignore # mutmut generated
mutants_x_f__mutmut['x_f__mutmut_2'] = x_f__mutmut_2 # type: ignore # mutmut generated
class C:
    @staticmethod
    @_mutmut_mutated(mutants_xǁCǁg__mutmut)
    def g(): return 1
    @staticmethod
    def xǁCǁg__mutmut_orig(): return 1
    @staticmethod
    def xǁCǁg__mutmut_1(): return 2
"""

    def test_a_few_mutants_are_kept(self) -> None:
        text = mutants.pruned(self.FULL_TEXT, {"x_f__mutmut_2"})
        for gone in ("mutmut_1", "x_g", "ǁ"):
            assert gone not in text
        for there in (
            "(mutants_x_f__mutmut)",
            "mutants_x_f__mutmut:",
            "def x_f__mutmut_2",
            "'x_f__mutmut_2'",
        ):
            assert text.count(there) == 1
        assert text.count("x_f__mutmut_orig") == 2
        assert text.count("@staticmethod") == 1
        ast.parse(text)

    def test_with_none_the_source_is_left(self) -> None:
        text = mutants.pruned(self.FULL_TEXT, set())
        assert "mutmut" not in text
        ast.parse(text)


class TestMessages:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('raise Rejected(Reason.X, "late")', 'raise Rejected(Reason.X, "LATE")'),
            ('raise Rejected(detail="late")', 'raise Rejected(detail="XXlateXX")'),
            ('raise Full("late " + name)', 'raise Full("LATE " + name)'),
            ('raise Full("a" if x else "b")', 'raise Full("a" if x else "B")'),
            ('_log.warning("lost", a="b")', '_log.warning("LOST", a="b")'),
            ('self._refuse("late")', 'self._refuse("LATE")'),
            ('refuse("late")', 'refuse("LATE")'),
        ],
    )
    def test_words_for_people_are_left_out(self, old: str, new: str) -> None:
        assert self.left_out(old, new)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('raise Rejected(Reason.X, "late")', "raise Rejected(Reason.X, None)"),
            ("raise Rejected(Reason.X, text)", "raise Rejected(None, text)"),
            ('raise Full("a" if x == "y" else "b")', 'raise Full("a" if x == "Y" else "b")'),
            ('raise Full(names["late"])', 'raise Full(names["LATE"])'),
            ("raise Full(f\"{say('late')}\")", "raise Full(f\"{say('LATE')}\")"),
            ('raise Full(", ".join(names))', 'raise Full("XX, XX".join(names))'),
            ('raise Full("late", limit=3)', 'raise Full("late", limit=4)'),
            ('return Reason("late")', 'return Reason("LATE")'),
            ('row["reason"] = "late"', 'row["reason"] = "LATE"'),
            ('row.get("late")', 'row.get("LATE")'),
            ('book.warning("late")', 'book.warning("LATE")'),
            ('say("late")', 'say("LATE")'),
            ("pass", "return"),
        ],
    )
    def test_all_else_stays_in(self, old: str, new: str) -> None:
        assert not self.left_out(old, new)

    def left_out(self, old: str, new: str) -> bool:
        bodies = [
            ast.parse(f"def f{n}():\n    {text}").body[0] for n, text in enumerate((old, new))
        ]
        return mutants.in_message(*bodies, {"refuse", "_refuse"})


LINES = {1: "x_f__mutmut_orig", 2: "x_f__mutmut_1", 3: "x_f__mutmut_2"}


class TestMypy:
    @staticmethod
    def error(line: int, message: str, severity: str = "error") -> dict[str, object]:
        return {"line": line, "message": message, "code": "c", "severity": severity}

    def test_a_mutant_with_an_error_of_its_own_is_refused(self) -> None:
        assert workshop.refusals(LINES, [self.error(3, "bad")]) == {"x_f__mutmut_2": "c: bad"}

    def test_what_the_original_shows_too_is_not_the_mutants_fault(self) -> None:
        errors = [self.error(line, f"already defined on line {line + 5}") for line in (1, 2)]
        assert workshop.refusals(LINES, [*errors, self.error(2, "bad")]) == {
            "x_f__mutmut_1": "c: bad"
        }
        assert workshop.refusals(LINES, errors) == {}

    def test_notes_and_lines_outside_are_nobodys(self) -> None:
        errors = [self.error(2, "see", "note"), self.error(9, "bad")]
        assert workshop.refusals(LINES, errors) == {}


class TestFates:
    @pytest.mark.parametrize(
        ("code", "became"),
        [
            (1, Fate.KILLED), (3, Fate.KILLED), (0, Fate.SURVIVED), (33, Fate.UNTESTED),
            (5, Fate.UNTESTED), (37, Fate.TYPE), (36, Fate.TIMEOUT), (-24, Fate.TIMEOUT),
            (34, Fate.NOT_RUN), (None, Fate.NOT_RUN), (2, Fate.UNCLEAR), (-9, Fate.UNCLEAR),
            (-11, Fate.UNCLEAR), (255, Fate.UNCLEAR), (77, Fate.UNCLEAR),
        ],
    )  # fmt: skip
    def test_mutmuts_codes(self, code: int | None, became: Fate) -> None:
        one = mutant(FULL)
        assert verdict.fate(one, {one.key: code}) is became

    def test_a_message_is_left_out_whatever_became_of_it(self) -> None:
        one = mutant(FULL, message=True)
        assert verdict.fate(one, {one.key: 0}) is Fate.LEFT_OUT


class TestJudging:
    def test_the_share_counts_tests_types_and_timeouts(self) -> None:
        fates = [Fate.KILLED, Fate.TYPE, Fate.TIMEOUT, Fate.SURVIVED, Fate.LEFT_OUT, Fate.NOT_RUN]
        row = judged(*[(mutant(CHECK, n), f) for n, f in enumerate(fates)])
        assert (row.mutants, row.killed, row.percent) == (4, 3, 75.0)
        assert row.counts == Counter(fates)

    @pytest.mark.parametrize("became", [Fate.SURVIVED, Fate.UNTESTED, Fate.UNCLEAR])
    def test_a_survivor_is_unnamed_or_equivalent(self, became: Fate) -> None:
        assert judged((mutant(FULL), became)).unnamed == [(mutant(FULL), became)]
        row = judged((mutant(FULL), became), named=(entry(FULL),))
        assert (row.unnamed, row.equivalent, row.stale) == ([], 1, [])

    def test_an_entry_stands_for_as_many_as_it_says(self) -> None:
        twins = [(mutant(FULL, n, twin=n), Fate.SURVIVED) for n in (0, 1)]
        row = judged(*twins, named=(entry(FULL),))
        assert (row.unnamed, row.equivalent) == ([twins[1]], 1)
        row = judged(*twins, named=(entry(FULL, times=2),))
        assert (row.unnamed, row.equivalent, row.stale) == ([], 2, [])
        assert judged(twins[0], named=(entry(FULL, times=2),)).stale == [entry(FULL, times=2)]

    def test_an_entry_without_a_mutant_or_with_a_dead_one_is_stale(self) -> None:
        killed = (mutant(CHECK), Fate.KILLED)
        assert judged(killed, named=(entry(FULL), entry(CHECK))).stale == [
            entry(FULL),
            entry(CHECK),
        ]

    def test_of_a_part_only_what_was_judged_is_stale(self) -> None:
        killed = (mutant(CHECK), Fate.KILLED)
        row = judged(killed, named=(entry(FULL), entry(CHECK)), whole=False)
        assert row.stale == [entry(CHECK)]

    def test_an_entry_of_another_core_is_not_asked(self) -> None:
        other = entry(Change("gate", FULL.function, FULL.before, FULL.after))
        row = judged((mutant(FULL), Fate.SURVIVED), named=(other,))
        assert len(row.unnamed) == 1
        assert row.stale == []

    def test_exit_codes(self) -> None:
        dead = [(mutant(CHECK, n), Fate.KILLED) for n in range(19)]
        good = judged(*dead, (mutant(FULL), Fate.SURVIVED), named=(entry(FULL),))
        poor = judged(*dead[:9], (mutant(FULL), Fate.SURVIVED), named=(entry(FULL),))
        unnamed = judged(*dead, (mutant(FULL), Fate.SURVIVED))
        stale = judged(*dead, named=(entry(FULL),))
        assert verdict.exit_code([good], 95.0) == 0
        assert verdict.exit_code([good, poor], 95.0) == 1
        assert verdict.exit_code([poor], None) == 0  # a sample has no rate to keep
        for row in (unnamed, stale):
            assert verdict.exit_code([good, row], 95.0) == 1
            assert verdict.exit_code([row], None) == 1

    def test_the_table_and_the_forms_of_a_survivor(self) -> None:
        row = judged((mutant(FULL), Fate.SURVIVED), (mutant(CHECK), Fate.TYPE))
        head, line, total = verdict.table([row, Row("gate")]).splitlines()[0:3]
        assert head.split()[:3] == ["core", "mutants", "killed"]
        assert line.split() == ["meter", "2", "1", "1", "0", "0", "1", "0", "50.0", "0.0"]
        assert total.split()[0] == "gate"
        assert len(verdict.table([row]).splitlines()) == 2
        assert verdict.as_diff(*row.unnamed[0]).splitlines() == [
            "agent/meter.py:7 Meter.full (survived)",
            "  - return count >= LIMIT",
            "  + return count > LIMIT",
        ]


class TestEntries:
    def write(self, folder: Path, text: str) -> Path:
        (folder / "meter.toml").write_text(text)
        return folder

    @pytest.mark.parametrize("change", [FULL, Change("meter", "f", "it's\nlong", "")])
    def test_a_survivor_is_written_as_it_is_read(self, tmp_path: Path, change: Change) -> None:
        text = verdict.as_entry(mutant(change), Fate.SURVIVED)
        path = self.write(tmp_path, text.replace('why = ""', 'why = "same"'))
        assert cores.equivalents(path, {"meter": METER}) == [Equivalent(change, "same", 1)]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[[meter]]\nfunction='f'\nbefore='a'\nafter='b'\n", "missing or unknown: why"),
            ("[[meter]]\nfunction='f'\nbefore='a'\nafter='b'\nwhy=' '\n", "no reason"),
            ("[[meter]]\nfunction='f'\nbefore='a'\nafter='b'\nwhy='c'\nx=1\n", "unknown: x"),
            ("[[meter]]\nfunction='f'\nbefore='a'\nafter='b'\nwhy='c'\n" * 2, "twice"),
            ("[[gate]]\nfunction='f'\nbefore='a'\nafter='b'\nwhy='c'\n", "no core gate"),
            ("[[", "meter.toml"),
        ],
    )
    def test_an_entry_that_cannot_be_right_is_told(self, tmp_path, text: str, said: str) -> None:
        with pytest.raises(BadSettings, match=said):
            cores.equivalents(self.write(tmp_path, text), {"meter": METER})

    def test_the_projects_own_entries_can_be_read(self) -> None:
        settings = cores.load()
        cores.equivalents(mutate.HERE / "equivalent", settings.cores)
        assert settings.least_killed_percent >= 95


class TestCores:
    def test_no_file_is_forgotten_where_a_core_is_listed_in_parts(self) -> None:
        for core in cores.load().cores.values():
            if len(core.parts) == 1:
                continue
            folders = {Path(source).parent for source in core.sources}
            there = {
                str(f.relative_to(cores.ROOT))
                for d in folders
                for f in (cores.ROOT / d).glob("*.py")
                if f.name != "__main__.py"  # judged from outside, as a process
            }
            assert set(core.sources) == there

    @pytest.mark.parametrize("key", ["sources", "tests"])
    def test_a_file_that_has_moved_is_told(self, tmp_path: Path, key: str) -> None:
        (tmp_path / "here.py").write_text("")
        said = {"sources": ["here.py"], "tests": ["here.py"], key: ["gone.py"]}
        rows = "".join(f"{name} = {json.dumps(value)}\n" for name, value in said.items())
        path = tmp_path / "cores.toml"
        path.write_text(f"least_killed_percent = 95\n[core.meter]\n{rows}")
        with pytest.raises(BadSettings, match=r"gone\.py"):
            cores.load(path, tmp_path)

    def test_a_file_has_one_home(self, tmp_path: Path) -> None:
        (tmp_path / "here.py").write_text("")
        part = 'sources = ["here.py"]\ntests = ["here.py"]\n'
        path = tmp_path / "cores.toml"
        head = "least_killed_percent = 95\n"
        path.write_text(f"{head}[core.meter.part.a]\n{part}[core.meter.part.b]\n{part}")
        with pytest.raises(BadSettings, match="two parts"):
            cores.load(path, tmp_path)
        path.write_text(f"{head}[core.meter]\nmessages = ['say']\n[core.meter.part.a]\n{part}")
        core = cores.load(path, tmp_path).cores["meter"]
        assert core == Core("meter", (Part("a", ("here.py",), ("here.py",)),), ("say",))

    def test_a_core_or_a_file_of_one_can_be_asked_for(self) -> None:
        one = Part("one", ("agent/a.py", "agent/b.py"), ("tests",))
        two = Part("two", ("agent/c.py",), ("tests",))
        gate = Core("gate", (one, two))
        settings = Settings(95, {"meter": METER, "gate": gate})
        assert cores.chosen(settings, []) == [METER, gate]
        assert cores.chosen(settings, ["gate"]) == [gate]
        (found,) = cores.chosen(settings, ["agent/b.py"])
        assert found == Core("gate", (Part("one", ("agent/b.py",), ("tests",)),), whole=False)
        (found,) = cores.chosen(settings, ["agent/c.py"])
        assert found == Core("gate", (two,), whole=False)
        assert cores.chosen(settings, ["agent/b.py", "agent/c.py", "agent/a.py"]) == [gate]
        with pytest.raises(BadSettings, match=r"agent/d\.py"):
            cores.chosen(settings, ["agent/d.py"])


class TestCommand:
    @pytest.mark.parametrize(
        "words", [["nowhere"], ["--sample", "0"], ["--sample", "x"], ["--dance"]]
    )
    def test_usage_errors_exit_2(self, words: list[str], capsys) -> None:
        try:
            code = mutate.main(words)
        except SystemExit as ended:  # argparse's own
            code = ended.code
        assert code == 2
        assert capsys.readouterr().err

    def test_a_draw_is_the_same_for_a_seed_and_holds_no_messages(self) -> None:
        lot = [("shop", mutant(CHECK, n, message=n % 2 == 0)) for n in range(40)]
        one, again, other = (mutate.draw(lot, 10, seed) for seed in (1, 1, 2))
        assert one == again != other
        assert len(one) == 10
        assert not any(m.message for _, m in one)
        assert len(mutate.draw(lot, 1000, 1)) == 20

    def test_the_seed_is_the_commits(self, tmp_path: Path, monkeypatch) -> None:
        assert mutate.commit_seed(tmp_path) == 0  # outside git
        git = tmp_path / "git"
        git.write_text("#!/bin/sh\necho 0000002a0f0f\n")
        git.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        assert mutate.commit_seed(tmp_path) == 42
        git.unlink()
        monkeypatch.setenv("PATH", str(tmp_path))
        assert mutate.commit_seed(tmp_path) == 0  # a machine without git

    def test_what_the_last_run_killed_is_known_by_its_change(self, tmp_path: Path) -> None:
        fates = [
            (mutant(CHECK, 1), Fate.KILLED),
            (mutant(CHECK, 2, twin=1), Fate.SURVIVED),
            (mutant(FULL, 1), Fate.TIMEOUT),
        ]
        mutate.keep(tmp_path, fates, judged(*fates))
        dead = mutate.known_dead(tmp_path / "results.json")
        assert {name[1:]: code for name, code in dead.items()} == {
            (CHECK.function, CHECK.before, CHECK.after, 0): 1,
            (FULL.function, FULL.before, FULL.after, 0): 36,
        }
        assert "check" in (tmp_path / "survivors.txt").read_text()
        assert "[[meter]]" in (tmp_path / "survivors.toml").read_text()
        assert mutate.known_dead(tmp_path / "none.json") == {}
