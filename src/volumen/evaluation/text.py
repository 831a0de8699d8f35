"""TextCounts: how far readings are from what is written, by character, word and line, with bootstrap intervals."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Levenshtein

from volumen.errors import LabelError, SettingsError
from volumen.evaluation.intervals import percentile_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LOWER_IS_BETTER = ("cer", "cer_mean", "wer")

_COUNTED = 9  # columns of the counts, in the order in which `of` makes them


@dataclass(frozen=True, kw_only=True, eq=False)
class TextCounts:
    """Errors of readings, added up by group: a letter, a writer, or whatever hangs together.

    Parameters
    ----------
    groups
        Names, sorted.
    counts
        Float64 (groups, 9): lines, edits, characters, edits of words, words, lines read exactly, lines within one
        edit, sum of the error rates of lines, lines that have one.

    Examples
    --------
    >>> counts = TextCounts.of(["two words", "one"], ["two wards", "one"])
    >>> {name: round(score, 3) for name, score in counts.scores().items()}
    {'cer': 0.083, 'cer_mean': 0.056, 'wer': 0.333, 'word_accuracy': 0.5, 'within_one': 1.0}
    """

    groups: tuple[str, ...]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, written: Sequence[str], read: Sequence[str], groups: Sequence[str] | None = None) -> TextCounts:
        """Count errors, line by line.

        Characters are Unicode's, in NFC: an é is one however it was typed. Words are what white space parts.

        Parameters
        ----------
        written
            What stands in each image.
        read
            What was read there.
        groups
            The group of each line; left out, each line is a group of its own.

        Raises
        ------
        LabelError
            When there are not as many of each, or none.
        """
        groups = [str(number).zfill(9) for number in range(len(written))] if groups is None else groups
        if not len(written) == len(read) == len(groups) or not written:
            raise LabelError(
                "Scores of text need a reading and a group for each line, and a line; "
                f"got {len(written)} lines, {len(read)} readings and {len(groups)} groups."
            )
        names, places = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
        rows = np.array([_count(normal(line), normal(text)) for line, text in zip(written, read, strict=True)])
        counts = np.zeros((len(names), _COUNTED))
        np.add.at(counts, places, rows)
        return cls(groups=tuple(str(name) for name in names), counts=counts)

    def scores(self) -> dict[str, float]:
        """Return the scores of all lines together; NaN where the lines leave one undefined, never 0.

        Returns
        -------
        dict
            ``cer``: edits of all lines over characters of all lines, the corpus's character error rate; it may pass
            1. ``cer_mean``: the mean over lines of their own error rates, in which short lines weigh as much as long
            ones; lines with nothing written have none. ``wer``: edits of words over words, of the corpus.
            ``word_accuracy``: share of images read exactly, which is that of words where an image holds one word.
            ``within_one``: share read within one edit.
        """
        return {name: float(score) for name, score in _scores(self.counts.sum(axis=0)).items()}

    def draws(self, *, draws: int = 1000, seed: int = 0) -> dict[str, NDArray[np.float64]]:
        """Return the scores of resampled sets of groups, each (draws,).

        Lines of one hand err together, so groups are drawn, not lines; each weighs into each draw with its own
        Poisson(1) number of copies, as in `volumen.evaluation.intervals.BlockBootstrap`. The same groups and seed
        give the same copies, whatever was read: draws of two systems are pairs. One group alone says nothing of
        others: its draws are NaN.

        Raises
        ------
        SettingsError
            When there is no draw to make.
        """
        if draws < 1:
            raise SettingsError(f"A bootstrap needs at least one draw; got {draws}.")
        if len(self.groups) < 2:
            return {name: np.full(draws, np.nan) for name in self.scores()}
        copies = np.random.default_rng(seed).poisson(1.0, size=(draws, len(self.groups)))
        return _scores(copies.astype(np.float64) @ self.counts)

    def intervals(self, *, draws: int = 1000, seed: int = 0, share: float = 0.95) -> dict[str, tuple[float, float]]:
        """Return the interval of each score: too narrow with fewer than about 20 groups, NaN with one."""
        drawn = self.draws(draws=draws, seed=seed)
        return {name: percentile_interval(values, share) for name, values in drawn.items()}


def line_edits(written: Sequence[str], read: Sequence[str]) -> NDArray[np.int64]:
    """Return the edit distance of each line, int64 (lines,), to choose examples by.

    Examples
    --------
    >>> line_edits(["ink", "papyrus"], ["ink", "papirus"]).tolist()
    [0, 1]
    """
    pairs = zip(written, read, strict=True)
    return np.array([Levenshtein.distance(normal(line), normal(text)) for line, text in pairs], dtype=np.int64)


def normal(text: str) -> str:
    """Return a text as it is compared: in Unicode's NFC."""
    return unicodedata.normalize("NFC", text)


def _count(written: str, read: str) -> tuple[float, ...]:
    """Return the row of counts of one line; insertions, deletions and substitutions cost 1 each (Levenshtein 1966)."""
    edits = Levenshtein.distance(written, read)
    words = written.split()
    rate = edits / len(written) if written else 0.0
    return (
        1,
        edits,
        len(written),
        Levenshtein.distance(words, read.split()),
        len(words),
        edits == 0,
        edits <= 1,
        rate,
        bool(written),
    )


def _scores(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the scores of counts (…, 9), in the order in which people read them."""
    lines, edits, characters, word_edits, words, exact, near, rates, rated = np.moveaxis(counts, -1, 0)
    return {
        "cer": _divide(edits, characters),
        "cer_mean": _divide(rates, rated),
        "wer": _divide(word_edits, words),
        "word_accuracy": _divide(exact, lines),
        "within_one": _divide(near, lines),
    }


def _divide(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quotient, NaN over nothing."""
    result = np.full(np.shape(top), np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result
