"""Reconstruction sheet: crops, what the model saw of them, and what it made of the rest, in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from volumen.errors import SettingsError
from volumen.evaluation.pictures import png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

COLUMNS = ("crop", "what the model sees", "filled in", "all that it drew", "absolute error")
HIDDEN = (58, 70, 96)
"""Colour of masked patches, RGB: no grey, so that it is not taken for papyrus."""

_PAPER, _TEXT, _QUIET = (251, 250, 247), (35, 39, 44), (105, 112, 122)
_GAP, _TITLE, _LINE = 12, 30, 20  # px
_SHORTEST, _LONGEST = 160, 512  # px, longer side of a picture


def reconstruction_sheet(
    images: NDArray[Any],
    visible: NDArray[np.bool_],
    restored: NDArray[Any],
    *,
    patch: int,
    layer: int | None = None,
    title: str = "Reconstructions",
    names: Sequence[str] = (),
) -> bytes:
    """Draw a row for each crop: itself, masked, masked patches filled in, the whole reconstruction, and the error.

    The greys of a row are those of its crop, whose 1st and 99th percentiles become black and white, in every column;
    in the error, black is none and white is half of that range. The error is shown where patches were masked,
    for nothing is asked of the others, and its root mean square, in image units, stands under it.

    Parameters
    ----------
    images
        NCHW in [0, 1].
    visible
        Which patches the model saw, bool (N, H / patch, W / patch).
    restored
        The reconstruction in image units, NCHW.
    patch
        Side of a patch in px.
    layer
        Channel to show; the middle one, ``C // 2``, if not given. Which it is stands under each crop.
    title
        What stands above all.
    names
        What stands under each crop, such as its place.

    Returns
    -------
    bytes
        PNG; the same arrays give the same bytes. Small crops are enlarged by whole pixels, crops of more than 512 px
        are thinned.

    Raises
    ------
    SettingsError
        The shapes do not fit together, or there is no such layer.

    Examples
    --------
    >>> import numpy as np
    >>> crops = np.random.default_rng(0).random((2, 3, 64, 96))
    >>> sheet = reconstruction_sheet(crops, np.eye(2, 3, dtype=bool)[None].repeat(2, 0), crops, patch=32)
    >>> sheet[1:4]
    b'PNG'
    """
    _check(images, visible, restored, patch)
    channels = images.shape[1]
    shown = channels // 2 if layer is None else layer
    if not 0 <= shown < channels or len(names) not in (0, len(images)):
        raise SettingsError(
            f"Expected one of {channels} layers and a name for each of {len(images)} crops, or none; "
            f"got layer {shown} and {len(names)} names."
        )
    which = "" if channels == 1 else f"layer {shown} of 0 to {channels - 1}"
    rows = []
    for number, (image, seen, drawn) in enumerate(zip(images, visible, restored, strict=True)):
        hidden = ~seen.repeat(patch, axis=0).repeat(patch, axis=1)
        pictures = [_sized(picture) for picture in row_pictures(image[shown], hidden, drawn[shown])]
        place = ", ".join(filter(None, (names[number] if names else "", which)))
        missed = (image[shown].astype(np.float64) - drawn[shown])[hidden]
        error = f"RMS {np.sqrt(np.mean(missed**2)):.3f} where hidden" if missed.size else "nothing is hidden"
        rows.append((pictures, [place, f"{100 * hidden.mean():.0f} % hidden", "", "", error]))
    return png(_lay_out(rows, title))


def row_pictures(
    image: NDArray[Any], hidden: NDArray[np.bool_], restored: NDArray[Any]
) -> tuple[NDArray[np.uint8], ...]:
    """Return the five pictures of a crop in the order of `COLUMNS`, YXC RGB of the crop's own size.

    Parameters
    ----------
    image, restored
        One layer and its reconstruction, YX, in one unit.
    hidden
        Which pixels the model did not see, bool YX.
    """
    inside = image[image != 0] if (image != 0).any() else image
    low, high = (float(edge) for edge in np.quantile(inside.astype(np.float64), [0.01, 0.99]))
    span = max(high - low, 1e-6)
    crop, drawn = (_grey((each - low) / span) for each in (image, restored))
    error = _grey(np.abs(image.astype(np.float64) - restored) / (span / 2))
    where = hidden[..., None]
    colour = np.array(HIDDEN, np.uint8)
    return crop, np.where(where, colour, crop), np.where(where, drawn, crop), drawn, np.where(where, error, colour)


def _grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring YX values from [0, 1] to grey RGB, YXC."""
    level = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=-1)


def _sized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    longer = max(picture.shape[:2])
    if longer > _LONGEST:
        step = -(-longer // _LONGEST)
        return picture[::step, ::step]
    times = max(1, _SHORTEST // longer)
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def _lay_out(rows: list[tuple[list[NDArray[np.uint8]], list[str]]], title: str) -> NDArray[np.uint8]:
    """Set pictures and what stands under them into one sheet, YXC RGB, columns named at the top."""
    height, width = rows[0][0][0].shape[:2]
    step_y, step_x = height + _LINE + _GAP, max(width, _SHORTEST) + _GAP
    sheet = np.full((_GAP + _TITLE + _LINE + len(rows) * step_y, _GAP + len(COLUMNS) * step_x, 3), _PAPER, np.uint8)
    canvas = Image.fromarray(sheet)
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, _GAP), title, fill=_TEXT, font_size=18)
    for column, name in enumerate(COLUMNS):
        draw.text((_GAP + column * step_x, _GAP + _TITLE), name, fill=_TEXT, font_size=13)
    for row, (pictures, notes) in enumerate(rows):
        top = _GAP + _TITLE + _LINE + row * step_y
        for column, (picture, note) in enumerate(zip(pictures, notes, strict=True)):
            left = _GAP + column * step_x
            canvas.paste(Image.fromarray(picture), (left, top))
            draw.text((left, top + height + 3), note, fill=_QUIET, font_size=11)
    return np.asarray(canvas)


def _check(images: NDArray[Any], visible: NDArray[np.bool_], restored: NDArray[Any], patch: int) -> None:
    expected = (images.shape[0], images.shape[2] // patch, images.shape[3] // patch) if images.ndim == 4 else None
    if expected is None or images.shape != restored.shape or visible.shape != expected or not len(images):
        raise SettingsError(
            f"Expected crops NCHW, their reconstructions of the same shape, and visible patches N × H / {patch} × "
            f"W / {patch}; got {images.shape}, {restored.shape} and {visible.shape}."
        )
    if images.shape[2] % patch or images.shape[3] % patch:
        raise SettingsError(f"Expected crops whose sides are multiples of {patch} px; got {images.shape[2:]}.")
