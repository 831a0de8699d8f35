"""cut_out: the part of a segment that a person's box names, which must lie inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import SettingsError
from volumen.windows import Window

if TYPE_CHECKING:
    from volumen.sources.segment import Segment

Box = tuple[int, int, int, int]
"""(y0, y1, x0, x1) in pixels at full size."""


def cut_out(segment: Segment, window: Window, box: Box | None, name: str = "region") -> Window:
    """Return the part of a window that lies in a box, all of it without one.

    Raises
    ------
    SettingsError
        The box reaches outside the segment, or shares no pixel with the window; the message calls it by its ``name``.
    """
    if box is None:
        return window
    asked = Window(window.z, box[:2], box[2:])
    if asked & segment.window.layers(*window.z) != asked:
        raise _outside(name, segment.name, segment.window, box)
    if (asked & window).empty:
        raise _outside(name, f"the region of {segment.name}", window, box)
    return asked & window


def _outside(name: str, where: str, room: Window, box: Box) -> SettingsError:
    return SettingsError(
        f"Expected a {name} inside {where}, rows {room.y[0]}:{room.y[1]} and columns {room.x[0]}:{room.x[1]}; "
        f"got {box[0]}:{box[1]},{box[2]}:{box[3]}."
    )
