"""Checksums: what a server says of a file's bytes, and whether a file on disk has them."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ASKED = {"x-amz-checksum-mode": "ENABLED"}
"""Request headers that make object stores tell their checksums."""

_HEADERS = {"content-md5": "md5", "x-amz-checksum-sha256": "sha256", "x-amz-checksum-crc32": "crc32"}
_DIGITS = {"md5": 32, "sha256": 64, "crc32": 8}
_BLOCK = 1 << 20


def checksums_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums of a whole file by method, in hexadecimal.

    An ETag counts as MD5 where it has that form and comes from an object store, whose plain uploads have one; those
    in parts have a number after it, encrypted ones and file servers put other things there.

    Examples
    --------
    >>> checksums_of({"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="})
    {'md5': 'd41d8cd98f00b204e9800998ecf8427e'}
    """
    told = {name.lower(): value for name, value in headers.items()}
    found: dict[str, str] = {}
    etag = re.fullmatch(r'"([0-9a-f]{32})"', told.get("etag", ""))
    store = any(name.startswith("x-amz-") for name in told)
    if etag and store and not told.get("x-amz-server-side-encryption", "").startswith("aws:"):
        found["md5"] = etag[1]
    for header, method in _HEADERS.items():
        try:
            digits = base64.b64decode(told.get(header, ""), validate=True).hex()
        except ValueError:  # of an upload in parts: a checksum of checksums, with their number
            continue
        if len(digits) == _DIGITS[method]:
            found[method] = digits
    return found


def differing(path: Path, told: Mapping[str, str]) -> list[str]:
    """Return the methods by which a file is not what was told; it is read once, in blocks."""
    if not told:
        return []
    with open(path, "rb") as file:
        return differing_bytes(iter(lambda: file.read(_BLOCK), b""), told)


def differing_bytes(blocks: Iterable[bytes], told: Mapping[str, str]) -> list[str]:
    """Return the methods by which bytes, block after block, are not what was told.

    Examples
    --------
    >>> differing_bytes([b"ink"], {"crc32": "00000000"})
    ['crc32']
    """
    hashes = {method: hashlib.new(method, usedforsecurity=False) for method in told if method != "crc32"}
    crc = 0
    for block in blocks:
        crc = zlib.crc32(block, crc)
        for each in hashes.values():
            each.update(block)
    found = {method: each.hexdigest() for method, each in hashes.items()} | {"crc32": f"{crc:08x}"}
    return [method for method, digits in told.items() if found[method] != digits]
