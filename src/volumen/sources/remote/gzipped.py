"""unpack: gzip from strangers, up to a bound: a small file can unpack to any size."""

from __future__ import annotations

import gzip
import io
import zlib

MOST = 256 * 2**20
"""Bytes that anything packed may unpack to."""

_BLOCK = 2**20


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
    found = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            while block := file.read(min(_BLOCK, most + 1 - len(found))):
                found += block
                if len(found) > most:
                    raise ValueError(f"it unpacks to more than {most} bytes")
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"it is no whole gzip file: {error}") from error
    return bytes(found)
