# ruff: noqa: INP001 - a script, not a module
"""Manual pages and shell completion, made from the commands' own parsers.

    .venv/bin/python packaging/manuals.py            write packaging/man, packaging/completions
    .venv/bin/python packaging/manuals.py --check    exit 1 where what lies there is another

Run it after a change of any command, option or help text; a test says so where it was forgotten.
Manual pages need nothing; completion needs `shtab`, of the `test` extra.
`packaging/install-manuals` puts both into a tree.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from agent import __version__  # noqa: E402
from agent.cli import COMMANDS, make_parser  # noqa: E402
from agent.commands.examples import EXAMPLES  # noqa: E402
from agent.commands.parser import PROGRAM, Parser  # noqa: E402
from agent.exits import MEANING  # noqa: E402

MAN = ROOT / "packaging/man"
COMPLETIONS = ROOT / "packaging/completions"
SHELLS = {"bash": PROGRAM, "zsh": f"_{PROGRAM}", "fish": f"{PROGRAM}.fish"}
"""The name that each shell looks for."""

_DIRECTORIES = {"DIR", "DIRECTORY", "REPOSITORY", "CACHE", "DESK"}
_FILES = {
    "FILE",
    "LINK|FILE",
    "IMAGE",
    "KEY",
    "PNG",
    "TOML",
    "FILE|URL",
    "PROFILE",
    "PROBE",
    "REFERENCE",
}


def manuals() -> dict[Path, str]:
    """Return the manual pages: one of the program, and one of each command."""
    top = make_parser(COMMANDS)
    found = {MAN / f"{PROGRAM}.1": _page(top)}
    for name in COMMANDS:
        found[MAN / f"{PROGRAM}-{name}.1"] = _page(_choices(top)[name])
    return found


def completions() -> dict[Path, str]:
    """Return the completion of each shell.

    Raises:
        ModuleNotFoundError: there is no `shtab`.
    """
    import shtab

    parser = make_parser(COMMANDS)
    for each in _every(parser):
        for action in _plain_actions(each):
            kind = str(action.metavar)
            if kind in _DIRECTORIES:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif kind in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return {
        COMPLETIONS / name: shtab.complete(parser, shell=shell).rstrip("\n") + "\n"
        for shell, name in SHELLS.items()
    }


def _choices(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return dict(action.choices)
    return {}


def _every(parser: Parser) -> Iterator[Parser]:
    yield parser
    for sub in _choices(parser).values():
        yield from _every(sub)


def _plain_actions(parser: Parser) -> list[argparse.Action]:
    """Return what is described: neither hidden, nor the choice of an action."""
    return [
        action
        for action in parser._actions  # noqa: SLF001
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
    ]


def _page(parser: Parser) -> str:
    """Return a manual page in man(7)."""
    name = parser.prog.replace(" ", "-")
    choices = _choices(parser)
    lines = [
        f'.TH {_roff(name.upper())} 1 "" "{PROGRAM} {__version__}" "User Commands"',
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(_summary(parser))}",
        ".SH SYNOPSIS",
        *_synopsis(parser),
    ]
    if parser.prog == PROGRAM:
        lines += [".SH DESCRIPTION", _roff(parser.description or ""), ".SH COMMANDS"]
        for command, summary in COMMANDS.items():
            lines += [".TP", f".BR {_roff(PROGRAM)}\\-{_roff(command)} (1)", _roff(summary)]
    else:
        lines += [".SH DESCRIPTION", _roff(parser.description or "")]
    lines += [".SH OPTIONS", *_options(parser)]
    if parser.prog != PROGRAM:
        for action, sub in choices.items():
            lines += [f'.SH "ACTION {_roff(action)}"', _roff(sub.description or ""), ".P"]
            lines += [*_synopsis(sub), *_options(sub), *_examples(sub, ".P")]
    lines += _examples(parser, ".SH EXAMPLES")
    lines += [".SH EXIT STATUS"]
    for code, meaning in MEANING.items():
        lines += [".TP", f".B {int(code)}", _roff(meaning)]
    lines += [".SH SEE ALSO"]
    others = [PROGRAM, *(f"{PROGRAM}-{command}" for command in COMMANDS)]
    seen = [f".BR {_roff(other)} (1)" for other in others if other != name]
    lines += [f"{line} ," for line in seen[:-1]] + seen[-1:]
    return "\n".join(lines) + "\n"


def _summary(parser: Parser) -> str:
    sentence = (parser.description or "").rstrip(".")
    return f"{sentence[0].lower()}{sentence[1:]}"


def _synopsis(parser: Parser) -> list[str]:
    """Return how it is called, required options by name."""
    words = [f"\\fB{_roff(parser.prog)}\\fR", "[\\fIOPTION\\fR ...]"]
    words += [
        f"\\fB{_roff(action.option_strings[-1])}\\fR \\fI{_value(action)}\\fR"
        for action in _plain_actions(parser)
        if action.option_strings and action.required
    ]
    if _choices(parser):
        words.append(f"\\fI{'COMMAND' if parser.prog == PROGRAM else 'ACTION'}\\fR ...")
    for action in _plain_actions(parser):
        if not action.option_strings:
            before, after = {"?": ("[", "]"), "*": ("[", " ...]"), "+": ("", " ...")}.get(
                str(action.nargs), ("", "")
            )
            words.append(f"{before}\\fI{_value(action)}\\fR{after}")
    return [" ".join(words)]


def _options(parser: Parser) -> Iterator[str]:
    formatter = parser._get_formatter()  # noqa: SLF001
    for action in _plain_actions(parser):
        yield ".TP"
        if not action.option_strings:
            yield f"\\fI{_value(action)}\\fR"
        else:
            names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in action.option_strings)
            yield names if action.nargs == 0 else f"{names} \\fI{_value(action)}\\fR"
        yield _roff(formatter._expand_help(action))  # noqa: SLF001


def _value(action: argparse.Action) -> str:
    """Return how an action's value is shown."""
    if action.metavar is not None:
        return _roff(str(action.metavar))
    if action.choices is not None:
        return _roff("|".join(map(str, action.choices)))
    return _roff(action.dest)


def _examples(parser: Parser, heading: str) -> list[str]:
    lines = EXAMPLES.get(parser.prog.removeprefix(PROGRAM).strip(), ())
    return [heading, ".nf", ".RS 4", *map(_roff, lines), ".RE", ".fi"] if lines else []


def _roff(text: str) -> str:
    """Escape what roff would read."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    return re.sub(r"^([.'])", r"\\&\1", text)


def main() -> int:
    """Write the files, or say which are stale; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where stale")
    arguments = parser.parse_args()
    made = manuals()
    try:
        made |= completions()
    except ModuleNotFoundError as error:
        sys.stderr.write(f"manuals: no completion: {error.name} is not installed (extra `test`)\n")
        return 2
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    old = {path for folder in (MAN, COMPLETIONS) for path in folder.glob("*")} - made.keys()
    for path in sorted([*stale, *old]):
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    if arguments.check:
        return 1 if stale or old else 0
    for path in old:
        path.unlink()
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
