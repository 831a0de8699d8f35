"""whole: a whole number as strangers write it."""

from __future__ import annotations

_LONGEST = 18  # digits, so that it fits into 64 bits


def whole(text: str) -> int | None:
    """Return the number that ASCII digits stand for; None for anything else, and for more of them than 64 bits hold.

    Examples
    --------
    >>> whole("042"), whole("²"), whole("-1"), whole("9" * 5000)
    (42, None, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _LONGEST else None
