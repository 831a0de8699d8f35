"""plain_json: JSON from strangers as plain values; whatever cannot be used is one kind of error."""

from __future__ import annotations

import json
import re
from typing import Any

LARGEST = 2**53
"""Of whole numbers: beyond, floats skip some."""

_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # half of a pair that makes one character; alone it is none


def parse(text: bytes | str) -> Any:
    """Read JSON, in UTF-8 where it comes as bytes.

    Raises
    ------
    ValueError
        When it is no JSON, nests too deep to be read, or holds half a character, which no file could be named or
        written with.

    Examples
    --------
    >>> parse(b'{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    >>> parse("[" * 100_000)
    Traceback (most recent call last):
        ...
    ValueError: it nests too deep
    """
    said = text if isinstance(text, str) else text.decode("utf-8-sig")
    try:
        found = json.loads(said)
        if _HALF.search(said):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it nests too deep") from None
    return found


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Read JSON as `parse` does; anything but an object is a `ValueError` too.

    Examples
    --------
    >>> parse_object("[]")
    Traceback (most recent call last):
        ...
    ValueError: it should be a JSON object, not list
    """
    found = parse(text)
    if not isinstance(found, dict):
        raise ValueError(f"it should be a JSON object, not {type(found).__name__}")
    return found
