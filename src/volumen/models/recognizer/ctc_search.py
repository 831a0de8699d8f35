"""CTC search: the text of the best alignment, or the best text over all alignments of the prefixes in a beam."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from volumen.models.recognizer.decoder import NOTHING

if TYPE_CHECKING:
    from numpy.typing import NDArray

Text = tuple[int, ...]

RARE = 1e-4
"""Probability below which a frame proposes no character: most of an alphabet, in most frames."""


def best_path(logs: NDArray[np.floating]) -> Text:
    """Return the text of the most probable alignment: the best class of each frame, repeats and blanks taken out.

    Parameters
    ----------
    logs
        Log probabilities (T, classes), the blank first.

    Examples
    --------
    >>> best_path(np.log([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.2, 0.8]]))
    (1, 1)
    """
    return tuple(int(index) for index, _ in groupby(logs.argmax(axis=1)) if index != NOTHING)


def best_prefix(logs: NDArray[np.floating], beams: int, *, rare: float = RARE) -> Text:
    """Return the most probable text, by a search over prefixes (Hannun et al. 2014, arXiv 1408.2873, algorithm 1).

    For each prefix two probabilities are carried along, of its alignments that end in the blank and of those that
    end in its last character, since only the former can be followed by that character once more.

    Parameters
    ----------
    logs
        Log probabilities (T, classes), the blank first.
    beams
        How many prefixes are kept after each frame; with as many as there are texts the search is exact.
    rare
        Probability below which a frame proposes no character; 0 makes it propose all.

    Examples
    --------
    >>> frame = np.log([0.6, 0.4])
    >>> best_path(np.stack([frame, frame])), best_prefix(np.stack([frame, frame]), 2)  # 0.36 against 0.64
    ((), (1,))
    """
    least = math.log(rare) if rare > 0 else -math.inf
    beam: dict[Text, tuple[float, float]] = {(): (0.0, -math.inf)}
    for frame in logs:
        proposed = [int(index) for index in np.flatnonzero(frame >= least) if index != NOTHING]
        scores: list[float] = frame.tolist()
        blank: dict[Text, float] = {}
        character: dict[Text, float] = {}
        for prefix, (after_blank, after_character) in beam.items():
            either = _add(after_blank, after_character)
            blank[prefix] = _add(blank.get(prefix, -math.inf), either + scores[NOTHING])
            last = prefix[-1] if prefix else NOTHING
            if prefix:
                again = after_character + scores[last]
                character[prefix] = _add(character.get(prefix, -math.inf), again)
            for index in proposed:
                longer = (*prefix, index)
                before = after_blank if index == last else either
                character[longer] = _add(character.get(longer, -math.inf), before + scores[index])
        ends = {text: (blank.get(text, -math.inf), character.get(text, -math.inf)) for text in {**blank, **character}}
        best = sorted(ends, key=lambda text: _add(*ends[text]), reverse=True)[:beams]
        beam = {text: ends[text] for text in best}
    return max(beam, key=lambda text: _add(*beam[text]))


def _add(first: float, second: float) -> float:
    """Return log(exp(first) + exp(second))."""
    more, less = (first, second) if first >= second else (second, first)
    return more if less == -math.inf else more + math.log1p(math.exp(less - more))
