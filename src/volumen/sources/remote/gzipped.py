"""unpack: gzip from strangers, up to a bound: a small file can unpack to any size."""

from __future__ import annotations

import zlib

MOST = 256 * 2**20
"""Bytes that anything packed may unpack to."""

_GZIP = 16 + zlib.MAX_WBITS


def unpack(packed: bytes, most: int = MOST) -> bytes:
    """Unpack gzip, of one member or several.

    Raises
    ------
    ValueError
        When it is damaged, cut short, or unpacks to more than ``most`` bytes.

    Examples
    --------
    >>> import gzip
    >>> unpack(gzip.compress(b"ink") + gzip.compress(b"!"))
    b'ink!'
    >>> unpack(gzip.compress(bytes(1000)), most=999)
    Traceback (most recent call last):
        ...
    ValueError: it unpacks to more than 999 bytes
    """
    found = b""
    while packed:
        unpacker = zlib.decompressobj(_GZIP)
        try:
            found += unpacker.decompress(packed, most + 1 - len(found))
        except zlib.error as error:
            raise ValueError(f"it is no whole gzip file: {error}") from error
        if len(found) > most:
            raise ValueError(f"it unpacks to more than {most} bytes")
        if not unpacker.eof:
            raise ValueError("it is no whole gzip file: it ends too early")
        packed = unpacker.unused_data.lstrip(b"\0")  # padding between members
    return found
