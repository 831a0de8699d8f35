"""View: one of the named lists of augmentations, drawn into a value, then applied to image and labels together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from volumen.errors import SettingsError
from volumen.views.depth import LayerCrop, Tilt
from volumen.views.geometry import Affine, draw_crop, draw_flips, draw_resized_crop, draw_shift_scale_rotate, warp
from volumen.views.intensity import Adjust, GaussianBlur, Holes, MotionBlur, Noise

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Name = Literal["none", "flips", "grand_prize"]
Shape = tuple[int, int, int]
Change = Tilt | LayerCrop | Adjust | Noise | GaussianBlur | MotionBlur


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
    size: int
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
        return _draw_grand_prize(generator, shape, affine, self.size)

    def apply(self, drawn: Drawn, image: Tensor, ink: Tensor, supervision: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Show a sample as drawn; the same each time, and nothing that was passed in is changed.

        Parameters
        ----------
        drawn
            What `draw` returned for this image's shape.
        image
            CHW float32 in [0, 1], on the CPU.
        ink
            1HW float32 in [0, 1], soft.
        supervision
            1HW float32, 0 or 1.

        Returns
        -------
        tuple
            Image, ink and supervision, size × size, in the same ranges.

        Raises
        ------
        SettingsError
            If the shapes are not those that it was drawn for.
        """
        flat = (1, *drawn.shape[1:])
        if tuple(image.shape) != drawn.shape or tuple(ink.shape) != flat or tuple(supervision.shape) != flat:
            raise SettingsError(
                f"This view was drawn for an image {drawn.shape}, ink and supervision {flat}; got "
                f"{tuple(image.shape)}, {tuple(ink.shape)} and {tuple(supervision.shape)}."
            )
        image, ink, supervision = warp(drawn.affine, self.size, image, ink, supervision)
        for change in drawn.changes:
            image = change(image)
        if drawn.holes is not None:
            image, supervision = drawn.holes(image, supervision)
        return image, ink, supervision


def pipeline(name: Name, size: int, resized_crop: bool) -> View:
    """Return a list of augmentations by its name.

    Parameters
    ----------
    name
        ``none``: the crop alone. ``flips``: left-right and top-bottom besides. ``grand_prize``: the list of the
        Vesuvius Challenge 2023 Grand Prize model.
    size
        Side of the view in px.
    resized_crop
        Stretch a random 0.67 to 1 of the window's area to ``size``; otherwise cut ``size`` px out as they are.

    Raises
    ------
    SettingsError
        If there is no list of that name, or the size is below 1.
    """
    if name not in get_args(Name):
        raise SettingsError(f"Views are {', '.join(get_args(Name))}; got {name!r}.")
    if size < 1:
        raise SettingsError(f"A view is at least 1 px wide; got {size}.")
    return View(name=name, size=size, resized_crop=resized_crop)


def _draw_grand_prize(generator: np.random.Generator, shape: Shape, affine: Affine, size: int) -> Drawn:
    """Draw the Grand Prize list, strengths and probabilities as published; ``affine`` holds crop and flips.

    The turn is composed with the crop, so that what it brings in from outside the crop is the window's own papyrus
    as far as there is some, and reflection only beyond. Depth comes after it, where fewer pixels are left.
    """
    if generator.random() < 0.75:
        affine = affine @ draw_shift_scale_rotate(generator, size, degrees=360, shift=0.15, scale=0.15)
    changes: list[Change] = [
        Tilt.draw(generator, size, degrees=5),
        LayerCrop.draw(generator, shape[0], least=18 / 26, losing=0.6, most_lost=2),
    ]
    if generator.random() < 0.75:
        changes.append(Adjust.draw(generator, brightness=0.2, contrast=0.2))
    if generator.random() < 0.4:
        match generator.integers(3):
            case 0:
                changes.append(Noise.draw(generator, variance=(10, 50)))
            case 1:
                changes.append(GaussianBlur.draw(generator, sides=(3, 5, 7)))
            case _:
                changes.append(MotionBlur.draw(generator, sides=(3, 5, 7)))
    holes = Holes.draw(generator, size, count=2, side=0.2) if generator.random() < 0.5 else None
    return Drawn(shape=shape, affine=affine, changes=tuple(changes), holes=holes)
