"""Damage: what readers of other libraries raise for broken files, and how we say it."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zlib

from aiohttp import ClientError

from volumen.errors import VolumenError

DAMAGE = (
    *(ValueError, TypeError, LookupError, RuntimeError, OSError, EOFError, SyntaxError),
    # sizes beyond all bounds, tags that are missing, and what tifffile holds for impossible
    *(ArithmeticError, AttributeError, MemoryError, SystemError, AssertionError),
    *(struct.error, zlib.error, lzma.LZMAError, tokenize.TokenError, ClientError),
)
"""What Pillow, tifffile, zarr, their codecs and stores raise for damaged files, unknown forms and lost connections."""


def described(error: Exception) -> str:
    """Return what was found, in a few words, for the end of our own sentence; our own errors pass through.

    Raises
    ------
    VolumenError
        ``error`` itself, where it is one of ours and already says all.
    """
    if isinstance(error, VolumenError):
        raise error
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
