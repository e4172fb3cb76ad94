"""What pytest does differently under mutmut: same inputs every time, quick tests first, no rests."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
from hypothesis import Phase, settings

EXAMPLES = 50

# Shrinking a counterexample is for people; a mutant is dead with the first.
settings.register_profile(
    "mutation",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=EXAMPLES,
    phases=(Phase.explicit, Phase.generate),
)


def _scratch() -> Path:
    """Return this process's own folder: mutmut's children end without pytest's tidying."""
    return Path(os.environ["IDGATE_MUTATION_SCRATCH"]) / str(os.getpid())


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.basetemp = _scratch()


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure() -> None:
    if os.environ.get("MUTANT_UNDER_TEST") == "fail":
        # mutmut's own check that a broken function is noticed: whatever then stays open is no news.
        warnings.simplefilter("ignore", pytest.PytestUnraisableExceptionWarning)
    shutil.rmtree(_scratch(), ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        _shorten(item)
    try:
        seconds = json.loads(Path("mutmut-stats.json").read_text("utf-8"))["duration_by_test"]
    except (OSError, ValueError):
        return  # the first run, which measures them
    items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))


def _shorten(item: pytest.Item) -> None:
    """Give a property fewer examples: a survivor meets all of them, and thousands are tried."""
    test = getattr(item, "obj", None)
    test = getattr(test, "__func__", test)
    own = getattr(test, "_hypothesis_internal_use_settings", None)
    if own is not None and own.max_examples > EXAMPLES:
        test._hypothesis_internal_use_settings = settings(own, max_examples=EXAMPLES)  # type: ignore[union-attr]
