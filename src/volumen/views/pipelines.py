"""View: one of the named lists of augmentations, drawn into a value, then applied to image and flats together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from volumen.errors import SettingsError
from volumen.views.depth import LayerCrop, Tilt
from volumen.views.geometry import Affine, draw_crop, draw_flips, draw_resized_crop, draw_shift_scale_rotate, warp
from volumen.views.intensity import Adjust, GaussianBlur, Holes, MotionBlur, Noise
from volumen.windows import height_width

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from volumen.windows import Size

Name = Literal["none", "flips", "mild", "grand_prize"]
Shape = tuple[int, int, int]
Change = Tilt | LayerCrop | Adjust | Noise | GaussianBlur | MotionBlur

_TURN, _LIGHT, _UNSHARP = 0.75, 0.75, 0.4  # how often the Grand Prize list does these


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """All random choices of one view of one sample.

    Parameters
    ----------
    shape
        CHW of the image that it was drawn for.
    affine
        Crop, flips and turn.
    changes
        What is done to the image after that, in order.
    holes
        What is blanked last, if anything.
    """

    shape: Shape
    affine: Affine
    changes: tuple[Change, ...] = ()
    holes: Holes | None = None


@dataclass(frozen=True, kw_only=True)
class View:
    """Draw and apply a list of augmentations; make one with `pipeline`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> view = pipeline("grand_prize", size=32, resized_crop=True)
    >>> image, ink, supervision = torch.rand(20, 48, 48), torch.zeros(1, 48, 48), torch.ones(1, 48, 48)
    >>> drawn = view.draw(np.random.default_rng(0), (20, 48, 48))
    >>> [tuple(tensor.shape) for tensor in view.apply(drawn, image, ink, supervision)]
    [(20, 32, 32), (1, 32, 32), (1, 32, 32)]
    """

    name: Name
    size: tuple[int, int]
    resized_crop: bool

    def draw(self, generator: np.random.Generator, shape: Shape) -> Drawn:
        """Make all random choices for an image of ``shape`` CHW; the generator alone decides them.

        Raises
        ------
        SettingsError
            If a plain crop of ``size`` does not fit into the image.
        """
        _layers, height, width = shape
        cut = draw_resized_crop if self.resized_crop else draw_crop
        affine = cut(generator, (height, width), self.size)
        if self.name == "none":
            return Drawn(shape=shape, affine=affine)
        affine = affine @ draw_flips(generator, self.size, horizontal=0.5, vertical=0.5)
        if self.name == "flips":
            return Drawn(shape=shape, affine=affine)
        if self.name == "mild":
            return _draw_mild(generator, shape, affine, self.size)
        return _draw_grand_prize(generator, shape, affine, self.size)

    def apply(self, drawn: Drawn, image: Tensor, *flats: Tensor) -> tuple[Tensor, ...]:
        """Show a sample as drawn; the same each time, and nothing that was passed in is changed.

        Parameters
        ----------
        drawn
            What `draw` returned for this image's shape.
        image
            CHW float32 in [0, 1], on the CPU.
        flats
            The sample's flat rasters, 1HW float32 each, at least one: any number of soft ones in [0, 1], such as
            ink; the last one, 0 or 1, says what may be trusted, such as supervision or papyrus. Holes blank it.

        Returns
        -------
        tuple
            Image and flats, H × W of the view, in the same ranges and order.

        Raises
        ------
        SettingsError
            If the shapes are not those that it was drawn for, or there is no flat.
        """
        flat = (1, *drawn.shape[1:])
        shapes = [tuple(tensor.shape) for tensor in (image, *flats)]
        if not flats or shapes != [drawn.shape, *[flat] * len(flats)]:
            raise SettingsError(
                f"This view was drawn for an image {drawn.shape} and one flat raster {flat} or more; got "
                f"{', '.join(map(str, shapes))}."
            )
        image, *shown = warp(drawn.affine, self.size, image, *flats)
        for change in drawn.changes:
            image = change(image)
        if drawn.holes is not None:
            image, shown[-1] = drawn.holes(image, shown[-1])
        return image, *shown


def pipeline(name: Name, size: Size, resized_crop: bool) -> View:
    """Return a list of augmentations by its name.

    Parameters
    ----------
    name
        ``none``: the crop alone. ``flips``: left-right and top-bottom besides. ``mild``: flips, turns by any angle,
        brightness, contrast and noise, each as in the next list. ``grand_prize``: the list of the Vesuvius Challenge
        2023 Grand Prize model, which also tilts, blurs, drops layers and cuts holes.
    size
        Height and width of the view in px; one number for both.
    resized_crop
        Stretch a random 0.67 to 1 of the window's area to ``size``; otherwise cut ``size`` px out as they are.

    Raises
    ------
    SettingsError
        If there is no list of that name, or the size is below 1.
    """
    if name not in get_args(Name):
        raise SettingsError(f"Views are {', '.join(get_args(Name))}; got {name!r}.")
    height, width = height_width(size)
    if min(height, width) < 1:
        raise SettingsError(f"A view is at least 1 px high and wide; got {height} x {width}.")
    return View(name=name, size=(height, width), resized_crop=resized_crop)


def _draw_mild(generator: np.random.Generator, shape: Shape, affine: Affine, size: Size) -> Drawn:
    """Draw what leaves depth and sharpness alone; ``affine`` holds crop and flips."""
    affine = _turned(generator, affine, size)
    changes: list[Change] = []
    if generator.random() < _LIGHT:
        changes.append(Adjust.draw(generator, brightness=0.2, contrast=0.2))
    if generator.random() < _UNSHARP:
        changes.append(Noise.draw(generator, variance=(10, 50)))
    return Drawn(shape=shape, affine=affine, changes=tuple(changes))


def _turned(generator: np.random.Generator, affine: Affine, size: Size) -> Affine:
    if generator.random() < _TURN:
        return affine @ draw_shift_scale_rotate(generator, size, degrees=360, shift=0.15, scale=0.15)
    return affine


def _draw_grand_prize(generator: np.random.Generator, shape: Shape, affine: Affine, size: Size) -> Drawn:
    """Draw the Grand Prize list, strengths and probabilities as published; ``affine`` holds crop and flips.

    The turn is composed with the crop, so that what it brings in from outside the crop is the window's own papyrus
    as far as there is some, and reflection only beyond. Depth comes after it, where fewer pixels are left.
    """
    affine = _turned(generator, affine, size)
    changes: list[Change] = [
        Tilt.draw(generator, size, degrees=5),
        LayerCrop.draw(generator, shape[0], least=18 / 26, losing=0.6, most_lost=2),
    ]
    if generator.random() < _LIGHT:
        changes.append(Adjust.draw(generator, brightness=0.2, contrast=0.2))
    if generator.random() < _UNSHARP:
        match generator.integers(3):
            case 0:
                changes.append(Noise.draw(generator, variance=(10, 50)))
            case 1:
                changes.append(GaussianBlur.draw(generator, sides=(3, 5, 7)))
            case _:
                changes.append(MotionBlur.draw(generator, sides=(3, 5, 7)))
    holes = Holes.draw(generator, size, count=2, side=0.2) if generator.random() < 0.5 else None
    return Drawn(shape=shape, affine=affine, changes=tuple(changes), holes=holes)
