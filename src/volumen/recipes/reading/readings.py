"""Readings: what a reader made of lines, beside what is written there, scored and written to a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.crops.alphabet import normalized
from volumen.crops.line_splits import group_of
from volumen.evaluation.text import TextCounts
from volumen.one_line import in_one_line
from volumen.prediction.transcribe import transcribe
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

    from volumen.crops.alphabet import Alphabet
    from volumen.crops.line_dataset import LineDataset
    from volumen.crops.line_images import LineBatch
    from volumen.prediction.transcribe import TextReading
    from volumen.sources.lines.line import Line

_COLUMNS = ("name", "group", "text", "read", "confidence")


@dataclass(frozen=True, kw_only=True)
class ReadLine:
    """A line, what is written there, and what was read.

    Parameters
    ----------
    name, group
        The line's, and that of what it hangs together with: a writer, a page.
    text
        What is written.
    read
        What was read.
    confidence
        Probability that the decoder gives to it, in [0, 1].
    """

    name: str
    group: str
    text: str
    read: str
    confidence: float


def read_texts(
    dataset: LineDataset, recognise: Callable[[LineBatch], Sequence[Any]], alphabet: Alphabet, *, batch: int
) -> list[ReadLine]:
    """Read every line of a dataset, in its order; those whose images are broken are left out.

    Parameters
    ----------
    recognise
        From a batch to a `volumen.models.recognizer.decoder.Reading` of each line.
    """
    return [
        read_line(dataset.lines[reading.index], reading)
        for reading in transcribe(recognise, dataset, alphabet, batch=batch)
    ]


def read_line(line: Line, reading: TextReading) -> ReadLine:
    """Put what was read of a line beside what is written there."""
    return ReadLine(
        name=line.name,
        group=group_of(line),
        text=line.text,
        read=reading.text,
        confidence=reading.confidence,
    )


def count_texts(lines: Sequence[ReadLine]) -> TextCounts:
    """Count the errors of readings by group; white space is single spaces on both sides."""
    return TextCounts.of(
        [normalized(line.text) for line in lines],
        [normalized(line.read) for line in lines],
        [line.group for line in lines],
    )


def score_texts(lines: Sequence[ReadLine], *, intervals: bool = False) -> dict[str, float]:
    """Return the scores of readings, with ``intervals`` each with its ``_low`` and ``_high`` over groups, if known."""
    counts = count_texts(lines)
    scores = counts.scores()
    if intervals:
        for name, (low, high) in counts.intervals().items():
            if math.isfinite(low):  # of one group alone nothing is known
                scores |= {f"{name}_low": low, f"{name}_high": high}
    return scores


def write_readings(path: Path, lines: Sequence[ReadLine]) -> None:
    """Write a table, columns parted by tabs, without quoting: `ReadLine`'s fields; whole or not at all."""
    rows = [
        (*map(in_one_line, (line.name, line.group)), *map(_spaced, (line.text, line.read)), f"{line.confidence:.6g}")
        for line in lines
    ]
    write_whole(path, "".join("\t".join(row) + "\n" for row in (_COLUMNS, *rows)))


def _spaced(text: str) -> str:
    return " ".join(text.split())


def read_readings(path: Path) -> list[ReadLine]:
    """Read what `write_readings` wrote."""
    _, *rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    found = []
    for name, group, text, read, confidence in rows:
        value = float(confidence)
        found.append(
            ReadLine(name=name, group=group, text=text, read=read, confidence=value if math.isfinite(value) else 0.0)
        )
    return found
