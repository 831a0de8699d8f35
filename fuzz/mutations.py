"""Mutations that keep a format's form: a value of JSON, a number in a text, a field of a header, is made hostile."""

from __future__ import annotations

import gzip
import json
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

from harness import join, split

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    Edit = Callable[[bytes, random.Random], bytes]

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, 5e-324),
    *(
        float("nan"),
        float("inf"),
        "",
        "0",
        "x",
        "..",
        "../../x",
        "/etc/passwd",
        "a\0b",
        "\ud800",
        "🏺",
        "NaN",
        "x" * 300,
    ),
    *([], {}, [[]], [None], {"": None}, "pickle", "|O", "<U1", "http://host.invalid/x", "CON", "a" * 5000),
)
_NUMBERS = (
    *(b"0", b"-1", b"1", b"2", b"65535", b"65536", b"2147483648", b"99999999999999999999", b"1e400", b"-1e400", b"nan"),
    *(b"inf", b"1e-320", b"0.5", b"9" * 5000, "²".encode(), "٣".encode(), b"0x10", b"1_0", b"", b"+1", b"00"),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_DEEP = 3000


def mutate(data: bytes, most: int, draw: random.Random, plain: Callable[[bytes, int], bytes]) -> bytes:
    """Return an input made hostile; every second time by ``plain``, which knows nothing of forms."""
    if draw.random() < 0.4:
        return plain(data, most)
    parts = split(data)
    index = draw.randrange(len(parts))
    parts[index] = mutate_part(parts[index], draw)
    if draw.random() < 0.05:
        parts[index] = b""
    return join(parts)[:most]


def mutate_part(part: bytes, draw: random.Random) -> bytes:
    """Return one file made hostile, by what it looks like."""
    if part[:2] == b"\x1f\x8b":
        return _inside_gzip(part, draw)
    if part[:8] == b"\x89PNG\r\n\x1a\n":
        return _with_checksums(_bytes(part, draw))
    if part[:6] == b"\x93NUMPY":
        return _numpy_header(part, draw)
    if part[8:9] == b"{":
        return _safetensors_header(part, draw)
    return draw.choice(_edits(part))(part, draw)


def _edits(part: bytes) -> list[Edit]:
    start = part.lstrip()[:1]
    if start in (b"{", b"["):
        return [_json, _json, _json, _number, _line]
    if start == b"<":
        return [_number, _attribute, _line, _repeat]
    if b"\0" in part[:64]:
        return [_bytes]
    return [_number, _line, _field, _repeat]


def _json(part: bytes, draw: random.Random) -> bytes:
    """Put a hostile value in the place of one, drop it, double it or bury it; of JSON lines, in one of the lines."""
    lines = part.splitlines() if part.count(b"}\n") > 1 else [part]
    index = draw.randrange(len(lines))
    try:
        found = json.loads(lines[index])
    except (ValueError, RecursionError):
        return _number(part, draw)
    holders = list(_holders(found))
    if not holders:
        return json.dumps(draw.choice(_VALUES)).encode()
    holder, key = draw.choice(holders)
    match draw.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case 1:
            holder[str(draw.choice(_VALUES))[:99]] = holder[key]
        case 2:
            holder[key] = [holder[key]]
        case 3:
            other, name = draw.choice(holders)
            holder[key] = json.loads(json.dumps(other[name]))
        case 4 if draw.random() < 0.2:
            return part.replace(json.dumps(holder[key]).encode(), b"[" * _DEEP + b"]" * _DEEP, 1)
        case _:
            holder[key] = draw.choice(_VALUES)
    lines[index] = json.dumps(found, ensure_ascii=draw.random() < 0.9).encode("utf-8", "surrogatepass")
    return b"\n".join(lines) + (b"\n" if len(lines) > 1 else b"")


def _holders(found: Any) -> Any:
    """Yield every place of a value: what holds it, and under which key."""
    if isinstance(found, dict | list):
        for key, value in list(found.items() if isinstance(found, dict) else enumerate(found)):
            yield found, key
            yield from _holders(value)


def _number(part: bytes, draw: random.Random) -> bytes:
    places = list(_NUMBER.finditer(part))
    if not places:
        return part + draw.choice(_NUMBERS)
    place = draw.choice(places)
    return part[: place.start()] + draw.choice(_NUMBERS) + part[place.end() :]


def _attribute(part: bytes, draw: random.Random) -> bytes:
    places = list(re.finditer(rb'"[^"<]*"', part))
    if not places:
        return part
    place = draw.choice(places)
    value = draw.choice([b"", *_NUMBERS, b"../../x.png", b"0,0 nan,5 5,5", "🏺".encode(), b"&amp;" * 99])
    return part[: place.start() + 1] + value + part[place.end() - 1 :]


def _line(part: bytes, draw: random.Random) -> bytes:
    lines = part.split(b"\n")
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    match draw.randrange(3):
        case 0:
            del lines[one]
        case 1:
            lines.insert(one, lines[other])
        case _:
            lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _field(part: bytes, draw: random.Random) -> bytes:
    places = list(re.finditer(rb"[^\s,|:;]+", part))
    if not places:
        return part
    place = draw.choice(places)
    value = draw.choice([b"", *_NUMBERS, b"../../x.png", b"a\0b", b"\xff", b'"', b"\r", "\u2028".encode(), b"x" * 300])
    return part[: place.start()] + value + part[place.end() :]


def _repeat(part: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(part) + 1)
    piece = part[start : start + draw.choice([1, 8, 64])]
    return part[:start] + piece * draw.choice([2, 9, 200]) + part[start:]


def _bytes(part: bytes, draw: random.Random) -> bytes:
    """Put a number that readers stumble over somewhere, in any width and order of bytes."""
    found = bytearray(part)
    for _ in range(draw.choice([1, 1, 2, 4])):
        form = draw.choice(["<B", "<H", ">H", "<I", ">I", "<Q", ">Q"])
        size = struct.calcsize(form)
        if len(found) < size:
            continue
        value = draw.choice(
            [0, 1, 2, 3, 4, 255, 256, 2 ** (8 * size - 1), 2 ** (8 * size) - 1, draw.getrandbits(8 * size)]
        )
        start = draw.randrange(min(len(found), 400 if draw.random() < 0.7 else len(found)) - size + 1 or 1)
        found[start : start + size] = struct.pack(form, value % 2 ** (8 * size))
    return bytes(found[: draw.randrange(len(found) + 1)]) if draw.random() < 0.1 else bytes(found)


def _inside_gzip(part: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.2:
        return _bytes(part, draw)
    try:
        inside = zlib.decompressobj(31).decompress(part, 2**20)
    except zlib.error:
        return _bytes(part, draw)
    return gzip.compress(mutate_part(inside, draw), mtime=0)


def _with_checksums(part: bytes) -> bytes:
    """Make the checksums of a PNG's chunks right again."""
    found, at = part[:8], 8
    while at + 12 <= len(part):
        length = int.from_bytes(part[at : at + 4], "big")
        body = part[at + 4 : at + 8 + length]
        found += part[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + length
    return found + part[at:]


def _numpy_header(part: bytes, draw: random.Random) -> bytes:
    length = int.from_bytes(part[8:10], "little")
    header = draw.choice([_number, _field, _repeat, _bytes])(part[10 : 10 + length], draw)[:65535]
    return part[:8] + len(header).to_bytes(2, "little") + header + part[10 + length :]


def _safetensors_header(part: bytes, draw: random.Random) -> bytes:
    length = int.from_bytes(part[:8], "little")
    if draw.random() < 0.1 or length > len(part):
        return _bytes(part, draw)
    header = part[8 : 8 + length]
    try:
        said = json.loads(header)
        inner = said["__metadata__"]["volumen"]
        if draw.random() < 0.7:  # our own header is JSON inside a text of JSON
            said["__metadata__"]["volumen"] = _json(inner.encode(), draw).decode("utf-8", "replace")
            header = json.dumps(said).encode()
        else:
            header = _json(header, draw)
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        header = _json(header, draw)
    return len(header).to_bytes(8, "little") + header + part[8 + length :]
