"""What the wallet does with an issuer that breaks a rule, or refuses: in Node, over real HTTP."""

from __future__ import annotations

from tests.support.node import needs_node, run_node

pytestmark = needs_node


def test_each_broken_rule_has_one_code(tmp_path):
    run_node("wallet_protocol.test.mjs", {}, tmp_path)
