"""The layer images of a folder: which of its files they are, and in which order, by their numbers alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from volumen.errors import SourceError
from volumen.sources.arrays.images import PICTURES, TIFFS
from volumen.sources.raster_names import names_raster

if TYPE_CHECKING:
    from collections.abc import Iterable

    from volumen.sources.location import Location

_LAYER_NAME = re.compile(rf"(.*?)(\d{{1,5}})({'|'.join(map(re.escape, (*TIFFS, *PICTURES)))})", re.IGNORECASE)


def find_layers(folder: Location) -> list[Location]:
    """Return the numbered layer images of a folder, in order; none where there are none; see `choose_layers`."""
    return [folder / name for name in choose_layers(folder.listing() or (), str(folder))]


def choose_layers(names: Iterable[str], folder: str) -> list[str]:
    """Return which names of a folder are its layer images, in order; none where there are none.

    Where the same layers are there in several forms, TIFF comes before PNG and JPEG. Labels and masks, which may be
    numbered too (``inklabels_v2.png``), are no layers.

    Raises
    ------
    SourceError
        When numbers are missing or double: a stack with a gap has its surface in the wrong place.
    """
    stacks: dict[tuple[int, str], dict[int, str]] = {}
    for name in names:
        match = _LAYER_NAME.fullmatch(name)
        if match and not names_raster(name):
            ending = (*TIFFS, *PICTURES).index(match[3].lower())
            numbers = stacks.setdefault((ending, match[1]), {})
            if int(match[2]) in numbers:
                raise SourceError(
                    f"{folder} holds layer {int(match[2])} twice: {numbers[int(match[2])]} and {name}; remove one."
                )
            numbers[int(match[2])] = name
    stacks = {key: numbers for key, numbers in stacks.items() if len(numbers) > 1}
    if not stacks:
        return []
    # Plain numbers first, then the best form.
    numbers = stacks[min(stacks, key=lambda key: (key[1] != "", key[0], key[1]))]
    first, last = min(numbers), max(numbers)
    missing = [number for number in range(first, last + 1) if number not in numbers]
    if missing:
        listed = ", ".join(map(str, missing[:8])) + (" …" if len(missing) > 8 else "")
        raise SourceError(
            f"{folder} lacks layer{'s' if len(missing) > 1 else ''} {listed} between {numbers[first]} and "
            f"{numbers[last]}; copy the missing files, the writing surface is counted from the middle."
        )
    return [numbers[number] for number in sorted(numbers)]
