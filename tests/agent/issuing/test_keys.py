"""Keys of issuers and holders, and the files that they are kept in."""

from __future__ import annotations

import pytest

from agent.issuing.keys import ISSUING, SigningKey, new_issuer


@pytest.mark.parametrize("algorithm", ISSUING)
def test_private_keys_survive_their_file(algorithm):
    key = SigningKey.new(algorithm)
    again = SigningKey.from_pem(key.private_pem())
    assert (again.algorithm, again.public_pem()) == (key.algorithm, key.public_pem())


def test_no_issuing_with_rs256():
    with pytest.raises(ValueError, match="allowed: ES256"):
        new_issuer("city", "RS256")
