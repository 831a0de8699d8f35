"""in_one_line: a text made fit for a field of a table, or for a terminal."""

from __future__ import annotations

import unicodedata

_BREAKS = ("Cc", "Zl", "Zp")  # control characters, tabs and escapes among them; separators of lines and paragraphs


def in_one_line(text: str) -> str:
    r"""Return a text with a space for each character that would end its field or line, or steer a terminal.

    Examples
    --------
    >>> in_one_line("one\ttwo\nthree")
    'one two three'
    """
    return "".join(" " if unicodedata.category(character) in _BREAKS else character for character in text)
