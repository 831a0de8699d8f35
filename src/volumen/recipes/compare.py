"""Compare: the same task trained in several ways, in one table; which task the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.recipes.compare_apparel import compare_apparel
from volumen.recipes.compare_characters import compare_characters
from volumen.recipes.compare_handwriting import compare_handwriting
from volumen.recipes.compare_ink import compare_ink
from volumen.settings.compare_apparel import CompareApparel
from volumen.settings.compare_characters import CompareCharacters
from volumen.settings.compare_handwriting import CompareHandwriting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event
    from volumen.settings.compare_ink import CompareInk


def compare(settings: CompareInk | CompareHandwriting | CompareCharacters | CompareApparel) -> Iterator[Event]:
    """Train the same task in several ways, over several seeds, and put all into one table.

    `CompareInk` finds ink, see `volumen.recipes.compare_ink.compare_ink`; `CompareHandwriting` reads lines of text,
    see `volumen.recipes.compare_handwriting.compare_handwriting`; `CompareCharacters` finds characters in photographs,
    see `volumen.recipes.compare_characters.compare_characters`; `CompareApparel` tells tags of photographs and finds
    what is like them, see `volumen.recipes.compare_apparel.compare_apparel`. A comparison that was stopped or killed
    goes on when the same settings are given again.

    Yields
    ------
    Event
        `Started` with the number of runs, then the events of every run, a `Saved` after each; the last is `Finished`
        with ``report``, ``table``, ``comparison`` (paths), ``runs``, ``scores``, ``differences`` (a dictionary for
        each row) and ``seconds``.

    Raises
    ------
    SettingsError
        The comparison at the output path was begun with other settings; the message lists them.
    SourceError, LabelError, CheckpointError
        The data cannot be read, there is nothing to learn from, weights do not fit, or one of these is no longer what
        the comparison was begun with.
    OutputExistsError
        Something else is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.CompareInk(segments=("20230827161847.zarr",), encoder=("spark.safetensors",), out="compared")
    >>> table = result(compare(chosen))["table"]  # doctest: +SKIP
    """
    match settings:
        case CompareApparel():
            yield from compare_apparel(settings)
        case CompareHandwriting():
            yield from compare_handwriting(settings)
        case CompareCharacters():
            yield from compare_characters(settings)
        case _:
            yield from compare_ink(settings)
