"""LineCorpus: the lines that a training learns from, is scored on while it runs, and is tested on at the end."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from volumen.crops.line_images import LineForm
from volumen.crops.select import spread
from volumen.errors import LabelError, SettingsError
from volumen.recipes.reading.parting import parted
from volumen.sources.arrays.recent import Recent
from volumen.sources.left_out import Drops, told
from volumen.sources.lines.line import DECODED_BYTES
from volumen.sources.lines.read_lines import EMPTY_TRANSCRIPT, read_lines
from volumen.sources.location import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.crops.line_splits import LineSplit
    from volumen.settings.lines import LineTraining
    from volumen.sources.lines.line import Line
    from volumen.sources.lines.line_list import LineList
    from volumen.sources.outlines import Outline


@dataclass(frozen=True, kw_only=True, eq=False)
class LineCorpus:
    """Lines in three parts, and the form that their images are brought to.

    Parameters
    ----------
    split
        What to learn from, to score while training, and to test with.
    by
        What keeps the parts apart, in words.
    form
        Of the images.
    shown
        Those of the held-out lines that are scored while training.
    identities
        What the data are; a run resumes only on the same.
    warnings
        What was left out, and why.
    """

    split: LineSplit
    by: str
    form: LineForm
    shown: tuple[Line, ...]
    identities: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, settings: LineTraining, *, transcribed: bool) -> LineCorpus:
        """Read the lists and part them.

        Parameters
        ----------
        settings
            Of a training over lines.
        transcribed
            Take only lines with a transcript; else those without too.

        Raises
        ------
        SourceError, SourceNotFoundError
            A list cannot be read.
        LabelError
            There should be transcripts, and there are none.
        SettingsError
            The lines cannot be parted as asked for, or there are too few.
        """
        lists = [read_lines(path, keep_untranscribed=not transcribed) for path in settings.lines]
        if transcribed and not any(found.transcribed for found in lists):
            raise LabelError(
                f"Learning to read needs transcripts; none of the lines in {', '.join(settings.lines)} has one. "
                "Pretraining needs none: volumen pretrain seqclr."
            )
        if transcribed:
            lists = [_with_text(found) for found in lists]
        lines = joined_lines(lists)
        _refuse_twice(lists)
        parting = parted(lines, settings)
        split, by = parting.split, parting.by
        if not split.train or not split.val:
            raise SettingsError(
                f"Expected lines to learn from and lines to hold out, {by}; got {len(split.train)} and "
                f"{len(split.val)} of {len(lines)}. Give more lines, or part them otherwise (--split)."
                + "".join(f" {text}" for text in _left_out(lists))
            )
        return cls(
            split=split,
            by=by,
            form=LineForm(
                height=settings.height,
                width=settings.line_width,
                stretched=settings.greys == "stretched",
                rows=settings.line_rows,
            ),
            shown=tuple(spread(split.val, settings.held_out_lines)),
            identities=tuple(_identity(found) for found in lists),
            warnings=(*_left_out(lists), *parting.remarks),
        )

    @property
    def test(self) -> tuple[Line, ...]:
        """The lines to test with: those that the list names, else all that are held out."""
        return self.split.test or self.split.val

    @property
    def scored_on(self) -> str:
        """SHA-256 of the names of the lines with transcripts, if any have one, that are not learned from."""
        spared = (*self.split.val, *self.split.test)
        names = sorted(line.name for line in spared if line.text.strip()) or sorted(line.name for line in spared)
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    @property
    def found(self) -> dict[str, Any]:
        """What a run records of its data."""
        counts = {"train": len(self.split.train), "held_out": len(self.split.val), "test": len(self.test)}
        return {
            "lines": counts,
            "split_by": self.by,
            "test_is_held_out": not self.split.test,
            "scored_on": self.scored_on,
        }


def _left_out(lists: Sequence[LineList]) -> list[str]:
    return [f"{found.source}: left out {told(found.dropped)}." for found in lists if found.dropped]


def _with_text(found: LineList) -> LineList:
    """Leave out a list of which no line has text: beside others, it would teach to read nothing."""
    if found.transcribed:
        return found
    drops = Drops()
    for line in found.lines:
        drops.add(EMPTY_TRANSCRIPT, line.name)
    return replace(found, lines=(), dropped={**found.dropped, **drops.counted()})


def joined_lines(lists: Sequence[LineList]) -> list[Line]:
    """Return the lines of all lists; of several lists, with the list's name before each line's.

    They share what they keep decoded, so that many lists take no more memory than one.

    Raises
    ------
    SettingsError
        A line is given twice.
    """
    recent = Recent(DECODED_BYTES)
    stems = [PurePosixPath(found.source).stem for found in lists]
    if len({*stems}) < len(stems):
        stems = [found.source for found in lists]
    joined = [
        replace(line, name=_name(line, found, stem) if len(lists) > 1 else line.name, recent=recent)
        for stem, found in zip(stems, lists, strict=True)
        for line in found.lines
    ]
    name, count = Counter(line.name for line in joined).most_common(1)[0]
    if count > 1:
        raise SettingsError(f"Expected every line once; {name} is there {count} times. Leave out what is given twice.")
    return joined


def _refuse_twice(lists: Sequence[LineList]) -> None:
    """Refuse one place of one image in two lists: under two names it could stand on both sides of a split."""

    @cache
    def real(folder: str) -> str:
        return os.path.realpath(folder)

    def place(line: Line) -> tuple[str, str, Outline]:
        folder, name = os.path.split(line.location.path)
        return real(folder) if line.location.local else folder, name, line.outline

    first: dict[tuple[str, str, Outline], LineList] = {}
    for found in lists if len(lists) > 1 else ():
        for line in found.lines:
            other = first.setdefault(place(line), found)
            if other is not found:
                raise SettingsError(
                    f"Expected every line once; {line.name} of {found.source} is the same part of the same image, "
                    f"{line.location}, as one of {other.source}. Leave out what is given twice."
                )


def _name(line: Line, found: LineList, stem: str) -> str:
    """Name a line after its list and itself; after its list alone where that is its image."""
    source = Location.of(found.source)
    return stem if line.location in (source, source.parent / source.name) else f"{stem}/{line.name}"


def _identity(found: LineList) -> dict[str, Any]:
    digest = hashlib.sha256()
    for line in found.lines:
        said = (line.name, line.text, line.split, line.size, line.writer, line.page, line.outline)
        digest.update(repr(said).encode())
    return {"name": found.source, "source": found.source, "lines": len(found.lines), "list_hash": digest.hexdigest()}
