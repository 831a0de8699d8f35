"""A file of events is followed while another process writes it, cuts it back or takes it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.events import Stepped, Warned, to_json
from volumen.tail import Tail

if TYPE_CHECKING:
    from pathlib import Path


def line(done: int) -> str:
    return to_json(Stepped(done=done, total=100)) + "\n"


def steps(tail: Tail) -> list[int]:
    return [event.done for event in tail.read()]


def test_only_whole_lines_count(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "events.jsonl")
    assert tail.read() == []
    tail.path.write_text(line(1) + line(2)[:7])
    assert steps(tail) == [1]
    assert steps(tail) == []
    assert tail.behind
    with open(tail.path, "a") as file:
        file.write(line(2)[7:] + line(3))
    assert steps(tail) == [2, 3]
    assert not tail.behind
    tail.path.unlink()
    assert tail.read() == []


def test_every_event_comes_once_however_the_bytes_fall(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "events.jsonl")
    text = "".join(map(line, range(40))).encode()
    found = []
    with open(tail.path, "wb", buffering=0) as file:
        for start in range(0, len(text), 17):
            file.write(text[start : start + 17])
            found += steps(tail)
    assert found == list(range(40))


def test_a_file_that_was_cut_back_is_read_anew_even_if_it_grew_past_where_it_was(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "events.jsonl")
    tail.path.write_text(line(1) + line(2) + line(3))
    assert steps(tail) == [1, 2, 3]
    tail.path.write_text(line(1))
    assert steps(tail) == [1]
    assert tail.restarts == 1
    tail.path.write_text(line(1) + line(4))
    assert steps(tail) == [4]
    assert tail.restarts == 1
    tail.path.write_text(line(1) + line(7) + line(8))  # the second line is another than before
    assert steps(tail) == [1, 7, 8]
    assert tail.restarts == 2


def test_a_long_file_is_read_in_parts(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "events.jsonl")
    long = to_json(Warned(message="x" * 3_000_000)) + "\n"
    tail.path.write_text(long + "".join(map(line, range(30_000))))
    parts = []
    while told := tail.read():
        parts.append(len(told))
    assert sum(parts) == 30_001
    assert len(parts) > 2


def test_what_is_no_event_is_told_in_its_own_words(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "events.jsonl")
    tail.path.write_bytes(b"downloading \xff weights\n" + b'{"event": "sang"}\n[]\n' + line(1).encode())
    *strange, last = tail.read()
    assert [event.message for event in strange] == [
        "The process also said: downloading � weights",
        'The process also said: {"event": "sang"}',
        "The process also said: []",
    ]
    assert last.done == 1
