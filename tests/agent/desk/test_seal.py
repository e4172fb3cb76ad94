"""Nothing opens but by the key, the purpose and the words that it was sealed with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.desk.seal import KEY_BYTES, SealBroken, SiteKey

KEY = SiteKey(bytes(range(32)))


@given(st.binary(max_size=300), st.binary(max_size=40), st.binary(max_size=40))
def test_what_was_sealed_opens_with_the_same_words(data: bytes, about: bytes, salt: bytes) -> None:
    sealed = KEY.seal("member", data, about=about, salt=salt)
    assert KEY.open("member", sealed, about=about, salt=salt) == data
    assert len(sealed) == len(data) + 28


@pytest.mark.parametrize(
    ("key", "purpose", "about", "salt"),
    [
        (SiteKey(bytes(32)), "member", b"row", b"code"),
        (KEY, "offer", b"row", b"code"),
        (KEY, "member", b"another row", b"code"),
        (KEY, "member", b"", b"code"),
        (KEY, "member", b"row", b"another code"),
        (KEY, "member", b"row", b""),
    ],
)
def test_with_one_other_word_it_stays_shut(key, purpose, about, salt) -> None:
    sealed = KEY.seal("member", b"template", about=b"row", salt=b"code")
    with pytest.raises(SealBroken, match=f"^{purpose}: sealed by another key, or changed$"):
        key.open(purpose, sealed, about=about, salt=salt)


def test_a_changed_byte_or_a_cut_is_noticed_wherever_it_is() -> None:
    sealed = KEY.seal("member", b"template")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        for wrong in (bytes(changed), sealed[:place]):
            with pytest.raises(SealBroken):
                KEY.open("member", wrong)


def test_the_same_is_never_sealed_twice_alike_but_hashed_alike() -> None:
    assert KEY.seal("member", b"x") != KEY.seal("member", b"x")
    assert KEY.digest("a", b"x") == KEY.digest("a", b"x")
    kinds = {KEY.digest("a", b"x"), KEY.digest("b", b"x"), SiteKey(bytes(32)).digest("a", b"x")}
    assert len(kinds) == 3
    assert len({KEY.derive("a"), KEY.derive("b"), KEY.derive("a", b"s"), bytes(range(32))}) == 4


def test_a_key_file_is_its_owners_and_is_made_once(tmp_path) -> None:
    file = tmp_path / "site.key"
    made = SiteKey.make(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert SiteKey.from_file(file).digest("a", b"x") == made.digest("a", b"x")
    with pytest.raises(FileExistsError):
        SiteKey.make(file)
    file.chmod(0o640)
    with pytest.raises(ValueError, match=f"^{file}: others may read it; run: chmod 600 {file}$"):
        SiteKey.from_file(file)
    file.chmod(0o600)
    file.write_bytes(bytes(31))
    with pytest.raises(ValueError, match=f"^{file}: a site key has {KEY_BYTES} bytes, not 31$"):
        SiteKey.from_file(file)
