"""Texts of generated files: long ones are made piece by piece, and are the same text."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_quant import texts
from mcu_quant.c_text import Lines, commented, wrapped
from mcu_quant.texts import LargeText


def test_a_long_text_is_read_as_often_as_one_likes(tmp_path: Path) -> None:
    text = LargeText(f"{i}: µ\n" for i in range(3))
    whole = "0: µ\n1: µ\n2: µ\n"
    assert (str(text), str(text)) == (whole, whole)
    assert texts.sha256(text) == texts.sha256(whole) == hashlib.sha256(whole.encode()).hexdigest()
    texts.write(tmp_path, {"a/long.txt": text, "short.txt": "x\n"})
    assert (tmp_path / "a" / "long.txt").read_bytes() == whole.encode()
    assert (tmp_path / "short.txt").read_bytes() == b"x\n"


@given(st.lists(st.integers(-(10**9), 10**9).map(str), min_size=1), st.integers(1, 9), st.integers(14, 40))
def test_lines_are_as_full_as_they_can_be_however_the_text_arrives(items: list[str], size: int, width: int) -> None:
    text = "".join(f"{item}, " for item in items)
    lines = list(wrapped((text[i : i + size] for i in range(0, len(text), size)), width))
    assert " ".join(lines) == text.rstrip()
    assert all(len(line) < width for line in lines)
    for line, following in pairwise(lines):
        assert len(line) + 1 + len(following.split()[0]) >= width


@pytest.mark.parametrize("size", [0, 1, (1 << 14) - 1, 1 << 14, (1 << 14) + 1])
def test_every_element_has_its_literal(size: int) -> None:
    values = np.arange(size, dtype=np.int64).astype(np.int8)
    lines = Lines("s8", values)
    for _ in range(2):
        assert [int(v) for v in "".join(lines).replace(",", " ").split()] == values.tolist()


def test_memory_does_not_grow_with_the_array() -> None:
    peaks = []
    for size in (1 << 15, 1 << 15, 1 << 18):  # the first time, caches fill
        values = np.zeros(size, np.int8)
        tracemalloc.start()
        LargeText(_with_ends(Lines("s8", values)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[1]


def _with_ends(lines: Lines) -> Iterator[str]:
    return (f"{line}\n" for line in lines)


def test_a_line_that_is_too_long_is_broken_and_its_comment_stands_above() -> None:
    assert commented("f(a, b);", "what", "    ") == "    f(a, b); /* what */"
    assert commented("f(a, b);", "") == "f(a, b);"
    call = f"f({', '.join(f'argument_{i}' for i in range(20))});"
    lines = commented(call, "what", "  ").split("\n")
    assert lines[0] == "  /* what */" and all(len(line) <= 120 for line in lines)
    assert " ".join(line.strip() for line in lines[1:]) == call
    assert all(line.startswith(" " * 10) for line in lines[2:])


@given(st.lists(st.text("ab", min_size=1, max_size=30), min_size=1, max_size=40), st.integers(0, 12))
def test_breaking_changes_nothing_but_the_lines(words: list[str], indent: int) -> None:
    code = ", ".join(words)
    lines = commented(code, "", " " * indent).split("\n")
    assert " ".join(line.strip() for line in lines) == code
    assert all(len(line) <= 120 for line in lines)
