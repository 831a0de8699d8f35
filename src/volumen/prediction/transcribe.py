"""transcribe: lines in, their texts out, streamed in the order of the lines, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from volumen.crops.alphabet import normalized
from volumen.crops.line_batches import line_batches
from volumen.crops.width_buckets import by_width
from volumen.errors import OutOfMemoryError, SettingsError
from volumen.memory import memory_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from volumen.crops.alphabet import Alphabet
    from volumen.crops.line_dataset import LineDataset
    from volumen.crops.line_images import LineBatch

_SPAN = 16
"""Batches that are ranked by width together; so many lines wait, at most, for those before them."""


class Spelled(Protocol):
    """A text as a reader gives it."""

    @property
    def indices(self) -> Sequence[int]:
        """Of the characters, in an alphabet."""
        ...

    @property
    def confidence(self) -> float:
        """Probability that the reader gives to the text as a whole, in [0, 1]."""
        ...


@dataclass(frozen=True, kw_only=True)
class TextReading:
    """What was read of a line.

    Parameters
    ----------
    index
        Of the line, in the dataset.
    name
        The line's.
    text
        White space as in transcripts, single spaces inside; empty where nothing was read.
    confidence
        Probability that the reader gives to this text as a whole, in [0, 1].
    """

    index: int
    name: str
    text: str
    confidence: float


def transcribe(
    reader: Callable[[LineBatch], Sequence[Spelled]],
    dataset: LineDataset,
    alphabet: Alphabet,
    *,
    batch: int = 16,
    threads: int = 1,
) -> Iterator[TextReading]:
    """Read every line once. Lines of like width are read together; where memory does not do for a batch, fewer are.

    Parameters
    ----------
    reader
        From lines side by side to a text for each, in their order. It is called in this thread, while others make
        the next batches.
    dataset
        Its lines have names of their own. Broken images are passed over, and named in its ``skipped``.
    alphabet
        Of the reader.
    batch
        Lines in a forward pass, at most.
    threads
        How many batches are made at a time.

    Yields
    ------
    TextReading
        In the order of the dataset's lines.

    Raises
    ------
    SettingsError
        When the batch is not positive, or lines share a name.
    OutOfMemoryError
        When a single line does not fit into memory.

    Examples
    --------
    >>> for reading in transcribe(reader, dataset, alphabet):  # doctest: +SKIP
    ...     print(reading.name, reading.text)
    """
    places = {line.name: index for index, line in enumerate(dataset.lines)}
    if batch < 1 or len(places) < len(dataset):
        raise SettingsError(
            f"Expected a batch of one line or more, and a name for each line; got a batch of {batch} and "
            f"{len(places)} names for {len(dataset)} lines."
        )
    span = _SPAN * batch
    rows = [
        start + row for start in range(0, len(dataset), span) for row in by_width(dataset.widths[start:][:span], batch)
    ]
    waiting: dict[int, TextReading] = {}
    now, limit = 0, batch
    for made in line_batches(dataset, rows, epoch=0, threads=threads):
        indices = [places[name] for name in made.names]
        if indices[0] // span != now:
            yield from (waiting[index] for index in sorted(waiting))
            waiting, now = {}, indices[0] // span
        texts, limit = _read(reader, made, limit)
        for index, name, text in zip(indices, made.names, texts, strict=True):
            waiting[index] = TextReading(
                index=index,
                name=name,
                text=normalized(alphabet.decode(text.indices)),
                confidence=float(text.confidence),
            )
    yield from (waiting[index] for index in sorted(waiting))


def _read(reader: Callable[[LineBatch], Sequence[Spelled]], lines: LineBatch, limit: int) -> tuple[list[Spelled], int]:
    """Return a text for each line, and how many lines fit into memory."""
    texts: list[Spelled] = []
    while len(texts) < len(lines.names):
        part = lines.rows(slice(len(texts), len(texts) + limit))
        count = len(part.names)
        try:
            with memory_errors():
                read = reader(part)
        except MemoryError as error:
            if count == 1:
                raise OutOfMemoryError(
                    f"A single line of {part.images.shape[2]} x {int(part.widths)} px (H x W) does not fit into "
                    "memory; take another device, or a smaller reader."
                ) from error
            limit = count // 2
        else:
            if len(read) != count:
                raise SettingsError(f"A reader gives a text for each line; got {len(read)} for {count}.")
            texts += read
    return texts, limit
