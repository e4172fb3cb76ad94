"""The filter's numbers against the kernel's own headers, and its program against a small model."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sandbox.seccomp import _ALLOWED, _MACHINES, _filter

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_are_the_kernels(machine):
    header = HEADERS[machine]
    if not header.is_file():
        pytest.skip(f"{header} is not installed (linux-libc-dev)")
    defined = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", header.read_text()))
    column = _MACHINES[machine][0]
    assert {name: row[column] for name, row in _ALLOWED.items()} == {
        name: int(defined[name]) for name in _ALLOWED
    }


def verdict(program: bytes, number: int, architecture: int) -> int:
    """Run classic BPF over `struct seccomp_data`, as far as the filter uses it."""
    data = struct.pack("=iI", number, architecture)
    accumulator = at = 0
    while True:
        code, jump_true, jump_false, k = struct.unpack_from("=HBBI", program, at * 8)
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == 0x15:
            at += jump_true if accumulator == k else jump_false
        else:
            assert code == 0x06
            return k


@pytest.mark.parametrize(("column", "architecture"), _MACHINES.values(), ids=_MACHINES)
@given(number=st.integers(0, 600))
def test_what_is_in_the_table_passes_and_nothing_else(column, architecture, number):
    allowed = {row[column] for row in _ALLOWED.values()}
    expected = ALLOW if number in allowed else REFUSE
    assert verdict(_filter(column, architecture), number, architecture) == expected


@pytest.mark.parametrize(("column", "architecture"), _MACHINES.values(), ids=_MACHINES)
def test_each_entry_passes_and_foreign_calls_end_the_process(column, architecture):
    program = _filter(column, architecture)
    for row in _ALLOWED.values():
        assert verdict(program, row[column], architecture) == ALLOW
        assert verdict(program, row[column], 0x40000003) == KILL  # 32-bit calls: other numbers
        assert verdict(program, row[column] | 0x40000000, architecture) == REFUSE  # x32
