"""Read: a reader's checkpoint and images of text lines in, their texts out, each with a confidence."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.crops.alphabet import normalized
from volumen.crops.line_dataset import LineDataset
from volumen.errors import CheckpointError, SettingsError, SourceError
from volumen.events import Finished, Saved, Started, Transcribed, Warned
from volumen.prediction.transcribe import transcribe
from volumen.recipes.reading.line_corpus import joined_lines
from volumen.recipes.reading.line_model import load_line_model
from volumen.recipes.reading.readings import read_line, score_texts, write_readings
from volumen.run_folder import RECIPE
from volumen.sources.image_files import is_image
from volumen.sources.left_out import Drops, told
from volumen.sources.lines.read_lines import read_lines
from volumen.training.devices import limit_memory, pick_device
from volumen.whole_files import refuse_existing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from volumen.crops.alphabet import Alphabet
    from volumen.events import Event
    from volumen.prediction.transcribe import TextReading
    from volumen.recipes.reading.readings import ReadLine
    from volumen.settings import Read
    from volumen.sources.left_out import Dropped
    from volumen.sources.lines.line_list import LineList

_KEPT_BYTES = 64 * 2**20  # each image is looked at once; what is kept are the other lines of its page
_NAMED = 10  # characters that a warning names


def read(settings: Read) -> Iterator[Event]:
    """Read images of text lines with a trained reader, in their order; images that are broken are named and counted.

    Where the lines have transcripts, the reader is scored on them. A line without one is only read. What is stopped
    half way leaves the texts so far in a table of their own, ``.part.tsv`` in place of ``.tsv``.

    Yields
    ------
    Event
        A `Transcribed` for each line that can be read; the last is `Finished` with ``lines`` (how many were read),
        ``left_out`` (how many could not be), ``out``, ``scored`` (how many have a transcript), ``scores`` (of
        `volumen.evaluation.text.TextCounts`, each with ``_low`` and ``_high`` over writers, pages or lines, where
        there are several; empty where there are no transcripts), ``unknown_characters`` (of the transcripts, that the
        reader cannot write) and ``seconds``.

    Raises
    ------
    SourceNotFoundError, SourceError
        There are no such images, or none can be read.
    CheckpointError
        The checkpoint is damaged, holds no reader, or gives what is no number.
    OutputExistsError
        There is something at the output path already; ``overwrite`` replaces it.
    SettingsError
        A line is given twice, beams are asked of a reader that has none, or the output is no TSV, or would replace an
        input or lie in the reader's run.
    OutOfMemoryError, OutOfSpaceError
        A single line does not fit into memory, or the texts on the disk.

    Examples
    --------
    >>> from volumen import settings
    >>> for event in read(settings.Read(checkpoint="runs/reader", images=("letters",))):  # doctest: +SKIP
    ...     print(event)
    """
    began = time.monotonic()
    out = _output(settings)
    limit_memory(pick_device(settings.device), settings.memory_fraction)
    model = load_line_model(
        settings.checkpoint, device=settings.device, precision=settings.precision, beams=settings.beams
    )
    lists, broken = _lists(settings.images)
    dataset = LineDataset(joined_lines(lists), form=model.form, cache_bytes=_KEPT_BYTES)
    if out is not None:
        _make_room(out)
    yield Started(
        work="read",
        total=len(dataset),
        unit="lines",
        device=model.device,
        detail={"decoder": model.reader.architecture["decoder"], "characters": len(model.alphabet)},
    )
    for found in lists:
        if found.dropped:
            yield Warned(message=f"{found.source}: left out {told(found.dropped)}.")
    if broken:
        yield Warned(message=f"Left out {told(broken)}.")
    lines: list[ReadLine] = []
    try:
        for reading in transcribe(model, dataset, model.alphabet, batch=settings.batch):
            _check_finite(reading)
            lines.append(read_line(dataset.lines[reading.index], reading))
            yield Transcribed(
                done=reading.index + 1,
                total=len(dataset),
                name=reading.name,
                text=reading.text,
                confidence=reading.confidence,
            )
    except BaseException:  # also where whoever listens stops listening
        if out is not None and lines:
            write_readings(_part(out), lines)
        raise
    if dataset.skipped:
        yield Warned(message=f"Left out {told(dataset.skipped)}.")
    if not lines:
        raise SourceError(f"None of the images can be read: {told(dataset.skipped)}.")
    known = [line for line in lines if normalized(line.text)]
    unknown = model.alphabet.unknown(line.text for line in known)
    if unknown:
        yield Warned(message=_two_alphabets(unknown, model.alphabet))
    if out is not None:
        write_readings(out, lines)
        _part(out).unlink(missing_ok=True)
        yield Saved(path=str(out), what="texts")
    dropped = [
        count
        for skipped in (*(found.dropped for found in lists), broken, dataset.skipped)
        for count in skipped.values()
    ]
    result: dict[str, Any] = {
        "lines": len(lines),
        "left_out": sum(each.count for each in dropped),
        "out": settings.out,
        "scored": len(known),
        "scores": score_texts(known, intervals=True) if known else {},
        "unknown_characters": sum(unknown.values()),
        "seconds": time.monotonic() - began,
    }
    yield Finished(result=result)


def _lists(paths: Sequence[str]) -> tuple[list[LineList], Mapping[str, Dropped]]:
    """Read what was given; images and pages that are broken are counted, as those of a folder are, unless all are."""
    lists, drops = [], Drops()
    for path in paths:
        try:
            lists.append(read_lines(path, keep_untranscribed=True))
        except SourceError as error:
            if not is_image(path) and not path.lower().endswith(".xml"):
                raise
            drops.add("unreadable file", path, str(error))
    if not lists:
        raise SourceError(f"None of what is given can be read: {told(drops.counted())}.")
    return lists, drops.counted()


def _check_finite(reading: TextReading) -> None:
    if not math.isfinite(reading.confidence):
        raise CheckpointError(
            f"The reader gives {reading.name} a confidence that is no number: its weights are damaged, or too large "
            "for the numbers it works with. Try --precision 32, or train it anew."
        )


def _output(settings: Read) -> Path | None:
    """Return where the texts go, after making sure that they can."""
    if settings.out is None:
        return None
    out = Path(settings.out).expanduser()
    if out.suffix.lower() != ".tsv":
        raise SettingsError(f"Expected a TSV to write the texts to, such as {out.stem}.tsv; got {out.name}.")
    if out.is_dir() or _is_input(out, (settings.checkpoint, *settings.images)):
        raise SettingsError(f"Expected a TSV of its own to write the texts to; {out} is a folder or an input.")
    run = Path(settings.checkpoint).expanduser()
    run = run if run.is_dir() else run.parent
    if (run / RECIPE).exists() and out.resolve().is_relative_to(run.resolve()):
        raise SettingsError(f"Expected a TSV outside {run}, whose tables are those of its training; got {out}.")
    folders = [Path(path).expanduser() for path in settings.images]
    inside = next((each for each in folders if each.is_dir() and out.resolve().is_relative_to(each.resolve())), None)
    if inside is not None:
        raise SettingsError(
            f"Expected a TSV to write the texts to outside {inside}, whose images are read: there it would be taken "
            f"for a list of them next time; got {out}."
        )
    refuse_existing(out, overwrite=settings.overwrite)
    return out


def _part(out: Path) -> Path:
    """Return where the texts go that were read before a stop."""
    return out.with_suffix(".part.tsv")


def _make_room(out: Path) -> None:
    """Make the folder that the texts go to."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{out.parent} cannot be made, to write {out.name} there: {error.strerror}.") from error


def _is_input(out: Path, inputs: Sequence[str]) -> bool:
    return out.exists() and any(Path(path).exists() and out.samefile(path) for path in inputs)


def _two_alphabets(unknown: dict[str, int], alphabet: Alphabet) -> str:
    named = ", ".join(
        f"{'space' if character == ' ' else character} {count}" for character, count in list(unknown.items())[:_NAMED]
    )
    return (
        f"{sum(unknown.values())} characters of the transcripts are none of the {len(alphabet)} that the reader knows "
        f"({named}{' …' if len(unknown) > _NAMED else ''}); each counts as an error."
    )
