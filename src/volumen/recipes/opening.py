"""Open the segments that a verb was given, each with its labels and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import SettingsError
from volumen.sources.open import open_segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from volumen.settings.source import LabelPaths
    from volumen.sources.segment import Segment


def open_all(paths: Sequence[str], labels: LabelPaths, *, colours: bool = False) -> tuple[Segment, ...]:
    """Open segments with the labels and masks given for them, each kind in the segments' order.

    With ``colours``, single images are opened as three layers, red, green and blue.

    Raises
    ------
    SettingsError
        More or fewer labels were given than segments.
    """
    given: dict[str, Sequence[str | None]] = {}
    for key, option in (
        ("ink", "ink"),
        ("supervision", "supervision"),
        ("held_out", "held_out_mask"),
        ("mask", "mask"),
    ):
        files = getattr(labels, option)
        if files and len(files) != len(paths):
            flag = "--" + option.replace("_", "-")
            raise SettingsError(f"{flag} needs a file for each of {len(paths)} segments; got {len(files)}.")
        given[key] = files or (None,) * len(paths)
    return tuple(
        open_segment(
            path,
            **{key: files[index] for key, files in given.items()},
            reverse=labels.reverse,
            voxel_um=labels.voxel_um,
            colours=colours,
        )
        for index, path in enumerate(paths)
    )
