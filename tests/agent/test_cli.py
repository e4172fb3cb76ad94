"""The command line: usage errors, versions, and imports that stay lazy."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import __version__, cli
from agent.commands.examples import EXAMPLES
from agent.commands.parser import Parser
from agent.reason import DESCRIPTIONS, Reason


def ended(capsys, *words: str) -> tuple[int, str, str]:
    """Run a command line that ends in the parser; return its code and what it wrote."""
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code, *capsys.readouterr()


MISTAKES = [
    (["vrify"], "idgate: unknown command 'vrify'; did you mean verify?"),
    (["Fleet"], "idgate: unknown command 'Fleet'; did you mean fleet?"),
    (["zzz"], "idgate: unknown command 'zzz'; there are: run, scan,"),
    (["--verison"], "idgate: unknown option --verison; did you mean --version?"),
    (["fleet", "sned"], "idgate fleet: unknown action 'sned'; did you mean send?"),
    (["fleet", "--brokr", "x", "watch"], "idgate fleet: unknown option --brokr"),
    (["issue", "zzz"], "idgate issue: unknown action 'zzz'; there are: key, credential,"),
    (["trust", "addissuer", "x"], "did you mean add-issuer?"),
    (["verify", "--trst", "x"], "idgate verify: unknown option --trst; did you mean --trust?"),
    (["verify", "--trst=x", "y"], "idgate verify: unknown option --trst; did you mean --trust?"),
    (["verify", "--zzz"], "idgate verify: unknown option --zzz ("),
    (["doctor", "--confg", "x"], "unknown option --confg; did you mean --config?"),
    (["fleet", "send", "--brokr", "x", "a/b", "open"], "did you mean --broker?"),
    (["issue", "key", "x", "--out", "y", "--algorithm", "ES265"], "did you mean ES256?"),
    (["issue", "key", "x", "--out", "y", "--algorithm", "zz"], "'zz' is none of ES256, ES384,"),
    (["verify", "a", "b", "c"], "idgate verify: too many words: 'b' 'c'"),
    (["verify", "--", "--a", "--b"], "idgate verify: too many words: '--b'"),
    (["doctor"], "the following arguments are required: --config"),
    (["verify", "--at"], "argument --at: expected one argument"),
    (
        ["scan", "x", "--deadline-ms", "5"],
        "argument --deadline-ms: '5': a whole number, at least 20,",
    ),
    (["scan", "x", "--deadline-ms", "1e3"], "argument --deadline-ms: '1e3'"),
    (
        ["gate", "test", "--config", "x", "--seconds", "nan"],
        "argument --seconds: 'nan': a number, more than 0, at most 60",
    ),
    (
        ["fleet", "watch", "--for-s", "inf"],
        "argument --for-s: 'inf': a number, at least 0, at most",
    ),
    (["fleet", "collect", "--keep-days", "-3"], "argument --keep-days: '-3': a number, at least 0"),
    (["fleet", "simulate", "--gates", "0"], "argument --gates: '0': a whole number, at least 1,"),
    (["fleet", "simulate", "--rate", "0"], "argument --rate: '0': a number, more than 0"),
    (["fleet", "configure", "--version", "0", "s/g"], "argument --version: '0': a whole number"),
    (["issue", "ticket", "--valid-days", "-3"], "argument --valid-days: '-3': a number, more than"),
    (["issue", "ticket", "--valid-days", "nan"], "argument --valid-days: 'nan': a number, more"),
    (["issue", "ticket", "--valid-days", "36526"], "argument --valid-days: '36526': a number"),
    (["issue", "ticket", "--status", "x#-1"], "argument --status: '-1': a whole number"),
    (["issue", "ticket", "--status", "5"], "argument --status: '5': an entry is named URI#INDEX"),
    (["issue", "credential", "--birth-date", "2001-02-30"], "argument --birth-date: '2001-02-30'"),
    (["issue", "credential", "--birth-date", "20010203"], "no date; write it like 1990-12-31"),
    (["verify", "--challenge", "abc"], "argument --challenge: 'abc': an even number of hex"),
    (["help", "vrify"], "idgate: unknown command 'vrify'; did you mean verify?"),
    (["verify\nx"], "idgate: unknown command 'verify\\nx'"),
    (["verify", "--a\nb"], "idgate verify: unknown option --a b"),
    (["x" * 100_000], "idgate: unknown command 'xxx"),
    (["verify", "--" + "x" * 100_000], "idgate verify: unknown option --xxx"),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_one_line_with_the_nearest_word_and_exit_2(
    words: list[str], told: str, capsys
) -> None:
    code, out, err = ended(capsys, *words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.startswith("idgate")
    assert err.count("\n") == 1
    assert len(err) < 700
    assert (" --help)" in err) != ("argument --" in err)


@pytest.mark.parametrize("words", [(), ("fleet",), ("issue",), ("trust",), ("gate",)])
def test_a_command_that_needs_an_action_shows_its_help(words: tuple[str, ...], capsys) -> None:
    code, out, err = ended(capsys, *words)
    assert (code, out) == (2, "")
    assert ended(capsys, *words, "--help") == (0, err, "")
    assert ended(capsys, "help", *words) == (0, err, "")


def parsers(parser: Parser | None = None) -> Iterator[Parser]:
    """Yield every parser there is: of all commands, and of their actions."""
    parser = parser or cli.make_parser(cli.COMMANDS)
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from parsers(sub)


EVERY = {parser.prog: parser for parser in parsers()}


@pytest.mark.parametrize("prog", EVERY)
def test_every_option_is_described_with_its_default(prog: str) -> None:
    parser = EVERY[prog]
    formatter = parser._get_formatter()
    hidden = 0
    for action in parser._actions:
        name = action.option_strings or action.metavar or action.dest
        if isinstance(action, argparse._SubParsersAction):
            continue
        if action.help is argparse.SUPPRESS:
            hidden += 1
            continue
        assert action.help, f"{prog}: {name} has no help"
        assert action.help[0] != " ", name
        assert not action.help.endswith("."), f"{prog}: {name}: help ends with a full stop"
        told = formatter._expand_help(action)
        # An option that takes a value and may be left out says what is taken then.
        default = action.default
        if action.nargs != 0 and isinstance(default, str | int | float | Path) and str(default):
            shown = f"{default:g}" if isinstance(default, float) else str(default)
            assert f"default: {shown}" in told, f"{prog}: {name}: its default {shown} is not told"
            assert told.count("default") == 1, f"{prog}: {name}: {told}"
    assert hidden <= 1, prog


@pytest.mark.parametrize("prog", EVERY)
def test_no_option_has_a_metavar_that_argparse_made(prog: str) -> None:
    for action in EVERY[prog]._actions:
        if action.option_strings and action.nargs != 0 and action.choices is None:
            assert action.metavar, f"{prog}: {action.option_strings} needs a metavar"


@pytest.mark.parametrize("prog", EVERY)
def test_no_number_may_be_infinite(prog: str) -> None:
    for action in EVERY[prog]._actions:
        if action.choices is None:
            assert action.type not in {int, float}, f"{prog}: {action.dest}: agent.commands.values"


@pytest.mark.parametrize("prog", EVERY)
def test_help_has_one_shape_within_80_columns(prog: str, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = prog.split()[1:]
    code, out, err = ended(capsys, *words, "--help")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) < 80
    assert lines[0].endswith(".") or lines[1].endswith("."), "a sentence first"
    assert not lines[0].startswith("usage")
    titles = [line for line in lines if line and line[0] != " " and line.rstrip().endswith(":")]
    assert titles[-2:] == ["examples:", "exit codes:"], "agent/commands/examples.py needs one"
    (usage,) = [line for line in lines if line.startswith("usage: ")]
    assert usage.startswith(f"usage: {prog}")
    assert ended(capsys, "help", *words) == (0, out, "")


@pytest.mark.parametrize("path", EXAMPLES)
def test_every_example_is_a_command_line_that_parses(path: str) -> None:
    text = "\n".join(EXAMPLES[path]).replace("\\\n", "")
    assert f"idgate {path}".strip() in EVERY
    for line in text.splitlines():
        words = shlex.split(line)
        words = words[words.index("idgate", 3 if words[0] == "sudo" and words[1] == "-u" else 0) :]
        assert " ".join(words).startswith(f"idgate {path}".strip())
        EVERY["idgate"].parse_args(words[1:])


def test_version(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"idgate {__version__}\n"


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"idgate {name}" in told
    assert f"{cli.COMMANDS[name][1:]}." in told  # QR and MQTT stay what they are


def test_help_imports_no_heavy_library() -> None:
    heavy = (
        "numpy cv2 cryptography paho structlog zxingcpp ai_edge_litert tflite_runtime tuf sqlite3"
    )
    code = (
        "import sys; from agent import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([n for n in {heavy.split()!r} if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_every_reason_is_described() -> None:
    assert set(DESCRIPTIONS) == set(Reason)
    assert all(text.endswith(".") for text in DESCRIPTIONS.values())


def test_a_fault_is_one_line_without_its_text_and_exits_70(monkeypatch, capsys) -> None:
    from agent.commands import issue

    monkeypatch.setattr(issue, "run", lambda _arguments: int("Maria 19900101"))
    assert cli.main(["issue", "present", "card"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("idgate issue: internal fault: ValueError at ")
    assert err.count("\n") == 1
    assert "Maria" not in err


def test_who_reads_only_the_first_lines_sees_no_traceback(tmp_path) -> None:
    (tmp_path / "trust").mkdir()
    command = [sys.executable, "-m", "agent.cli", "verify", "--trust", "trust", "-"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"?\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"denied")
        process.stdout.close()
        process.stdin.write(b"?\n")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 141


def test_a_prompt_without_anybody_to_answer_is_one_line(tmp_path) -> None:
    command = [
        sys.executable, "-m", "agent.cli", "trust", "init", str(tmp_path / "repo"),
        "--keys", str(tmp_path / "keys"),
    ]  # fmt: skip
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        start_new_session=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("input ended before the answer: run it in a terminal\n")
    assert "Traceback" not in done.stderr


def test_the_demo_needs_a_place_to_write(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert f"{tmp_path / 'file'}: File exists" in capsys.readouterr().err
