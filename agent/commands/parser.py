"""The parser of all commands: one shape of help, and one line for a mistake.

- Help is a sentence, the usage, the options with their defaults, examples and exit codes, within 80
  columns.
- A mistake is one line on standard error and exit code 2. A word that is nearly one that is known
  brings "did you mean".
- A command that needs an action and is given nothing shows its help, with exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from agent.exits import MEANING, Exit

__all__ = ["PROGRAM", "Parser"]

PROGRAM: Final = "idgate"
COLUMNS: Final = 80
_LONGEST: Final = 200
"""Characters of a command line's own words that a line repeats."""


class _Choice(argparse._SubParsersAction):  # type: ignore[type-arg]  # noqa: SLF001
    """The choice of a command or an action, each described by what its line in the list says."""

    def add_parser(self, name: str, **options: Any) -> Any:
        """Add one."""
        summary = options.get("help") or name
        options.setdefault("description", f"{summary[0].upper()}{summary[1:]}.")
        return super().add_parser(name, **options)


class Formatter(argparse.HelpFormatter):
    """Help within 80 columns, each option with its default."""

    def __init__(self, prog: str) -> None:
        # Not the terminal's width: to ask for it costs an import at each start.
        super().__init__(prog, max_help_position=26, width=COLUMNS - 1)

    def add_argument(self, action: argparse.Action) -> None:
        """Add one; the names of actions stand further in, which `argparse` forgets."""
        super().add_argument(action)
        if isinstance(action, _Choice) and action.help is not argparse.SUPPRESS:
            self._action_max_length += self._indent_increment

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap a sentence; leave a table as it stands."""
        if "\n" in text:
            return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str:
        """Return the help with the default, where there is one and the help does not say it."""
        text = action.help or ""
        default = _shown(action.default)
        if not default or action.nargs == 0 or "default" in text or not text:
            return text
        return f"{text} (default: {default})"


def _shown(default: object) -> str:
    """Return a default as help shows it; nothing for none."""
    if not isinstance(default, str | int | float | Path) or default in ("", argparse.SUPPRESS):
        return ""
    if isinstance(default, bool):
        return ""
    text = f"{default:g}" if isinstance(default, float) else str(default)
    return text.replace("%", "%%")


class Parser(argparse.ArgumentParser):
    """`argparse`'s parser in this program's manner; parsers of actions are made alike."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", Formatter)
        super().__init__(**options)
        self._choice: argparse.Action | None = None
        self._words: list[str] = []

    def add_subparsers(self, **options: Any) -> Any:
        """Add the choice of a command or an action."""
        options.setdefault("title", "actions")
        options.setdefault("action", _Choice)
        self._choice = super().add_subparsers(**options)
        return self._choice

    def parse_known_args(
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse; what is left over is a mistake here, where its like is known."""
        self._words = list(sys.argv[1:] if args is None else args)
        if self._choice is not None and not self._words:
            self.print_help(sys.stderr)
            self.exit(Exit.SETTINGS)
        found, rest = super().parse_known_args(self._words, namespace)
        if rest:
            self.error(f"too many words: {' '.join(map(repr, rest))}")
        return found, rest

    def format_help(self) -> str:
        """Return the sentence, the usage, the options, examples and exit codes."""
        formatter = self._get_formatter()
        formatter.add_text(self.description)
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        for group in self._action_groups:
            formatter.start_section(group.title)
            formatter.add_text(group.description)
            formatter.add_arguments(group._group_actions)  # noqa: SLF001
            formatter.end_section()
        formatter.add_text(self.epilog)
        formatter.add_text(self._examples())
        formatter.add_text(exit_codes())
        return formatter.format_help()

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and end with exit code 2."""
        line = " ".join((self._unknown_option() or message).split())
        if len(line) > 2 * _LONGEST:
            line = f"{line[: 2 * _LONGEST]}..."
        # What is wrong with a value says itself what would do; for the rest there is the help.
        help_ = "" if line.startswith("argument ") else f" (see {self.prog} --help)"
        self.exit(Exit.SETTINGS, f"{self.prog}: {line}{help_}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is none of the choices, with the nearest."""
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        word = str(value)[:_LONGEST]
        if action is self._choice:
            kind = "command" if action.dest == "command" else "action"
            self.error(f"unknown {kind} {word!r}{_nearest(word, names, ', '.join(names))}")
        allowed = f"{', '.join(names)}{_nearest(word, names)}"
        raise argparse.ArgumentError(action, f"{word!r} is none of {allowed}")

    def _unknown_option(self) -> str:
        """Return what to say of the first word that looks like an option and is none."""
        known = self._option_string_actions
        for word in self._words:
            name, _, _ = word.partition("=")
            if name == "--" or (self._choice is not None and not word.startswith("-")):
                break
            if not name.startswith("--") or any(option.startswith(name) for option in known):
                continue
            return f"unknown option {name[:_LONGEST]}{_nearest(name, list(known))}"
        return ""

    def _examples(self) -> str:
        from agent.commands.examples import EXAMPLES

        lines = EXAMPLES.get(self.prog.removeprefix(PROGRAM).strip(), ())
        return "\n".join(["examples:", *(f"  {line}" for line in lines)]) if lines else ""


def exit_codes() -> str:
    """Return the table of exit codes, as help shows it."""
    return "\n".join(["exit codes:", *(f"  {code:<4} {MEANING[code]}" for code in MEANING)])


def _nearest(word: str, names: Sequence[str], otherwise: str = "") -> str:
    from agent.settings.errors import did_you_mean

    return did_you_mean(word, names) or (f"; there are: {otherwise}" if otherwise else "")
