"""Every error that the wallet throws has its line in errors.js, and every line an error."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

WALLET = ROOT / "agent" / "wallet"


def test_the_set_of_codes_is_closed_and_none_is_dead():
    text = (WALLET / "errors.js").read_text(encoding="utf-8")
    lines = re.search(r"LINES = `\n(.*?)`;", text, re.DOTALL)
    assert lines is not None
    defined = [line.split()[0] for line in lines[1].strip().splitlines()]
    assert len(defined) == len(set(defined)) > 30
    sources = "".join(
        file.read_text(encoding="utf-8")
        for file in sorted(WALLET.rglob("*.js"))
        if file.name != "errors.js" and not {"strings", "vendor"} & set(file.parts)
    )
    quoted = set(re.findall(r'"([a-z_]+)"', sources))
    assert set(defined) - quoted == set()
    thrown = set(re.findall(r'(?:WalletError|\bfail)\(\s*"([a-z_]+)"', sources))
    assert len(thrown) > 20
    assert thrown - set(defined) == set()
