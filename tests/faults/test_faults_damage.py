"""Files that are cut short or hold a flipped byte: an error in words or a right result, never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from damaged import READ, UNFINISHED, killed_in_the_middle
from sameness import assert_same
from verb_table import VERBS

if TYPE_CHECKING:
    from pathlib import Path

    from breaking import Breaker
    from commands import Ended
    from damaged import Read


pytestmark = pytest.mark.slow


def cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def flipped(data: bytes, share: float) -> bytes:
    place = min(len(data) - 1, int(len(data) * share))
    return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


HARMS = {
    "empty": lambda data: b"",
    "cut in the middle": lambda data: cut(data, 0.5),
    "last byte cut": lambda data: data[:-1],
    "first byte flipped": lambda data: flipped(data, 0),
    "byte flipped early": lambda data: flipped(data, 0.1),
    "byte flipped in the middle": lambda data: flipped(data, 0.5),
    "last byte flipped": lambda data: flipped(data, 1),
}
HARMED = [pytest.param(harm, id=name) for name, harm in HARMS.items()]


def check_words(ended: Ended) -> None:
    """See that a command ended well or said in a line or two what is wrong."""
    assert ended.code in (0, 2), ended.errors
    assert "Traceback" not in ended.errors
    if ended.code == 2:
        assert ended.errors.startswith("volumen "), ended.errors
        assert len(ended.errors) < 1500


@pytest.mark.parametrize("harm", HARMED)
@pytest.mark.parametrize("read", [pytest.param(read, id=read.name) for read in READ])
def test_a_damaged_input(breaker: Breaker, tmp_path: Path, read: Read, harm) -> None:
    breaker.home.mkdir(parents=True)
    copy, file = read.copied(breaker.inputs, tmp_path)
    file.write_bytes(harm(file.read_bytes()))
    check_words(breaker.commands.run(read.line(copy, breaker.inputs, breaker.home / "out.json"), breaker.home))


@pytest.mark.parametrize("harm", HARMED)
@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, names in UNFINISHED.items() for name in names])
def test_what_a_kill_left_is_damaged(breaker: Breaker, verb: str, name: str, harm) -> None:
    killed_in_the_middle(breaker, verb)
    (found,) = (each for each in VERBS if each.name == verb)
    for file in breaker.home.rglob(name):
        file.write_bytes(harm(file.read_bytes()))
    ended = breaker.begin_or_go_on(found)
    check_words(ended)
    if name == "state.pt" and ended.code == 0:  # it holds checksums
        assert_same(breaker.home, breaker.whole)
