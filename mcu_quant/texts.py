"""Texts of generated files: short ones are strings; one that would fill the memory is made piece by piece into a file.

text = LargeText(pieces)
for piece in pieces_of(text): ...
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

#: Characters that are read at a time.
_PIECE = 1 << 20


class LargeText:
    """A text in an unnamed temporary file, gone with the object; never whole in memory, read as often as one likes."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115 - open as long as the object
        self._file.writelines(pieces)

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece

    def __str__(self) -> str:
        return "".join(self)


Text = str | LargeText


def pieces_of(text: Text) -> Iterable[str]:
    """The text in pieces that fit into memory."""
    return (text,) if isinstance(text, str) else text


def write(folder: Path, files: Mapping[str, Text]) -> None:
    """Write texts by their path in a folder, with their line ends as they are."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(pieces_of(text))


def sha256(text: Text) -> str:
    """Of the text's UTF-8, in hexadecimal."""
    digest = hashlib.sha256()
    for piece in pieces_of(text):
        digest.update(piece.encode())
    return digest.hexdigest()
