"""Fixtures of the trust set's tests."""

from tests.support.trust_keys import p256, tmp_path, trust_dir  # noqa: F401
