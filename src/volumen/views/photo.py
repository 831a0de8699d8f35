"""PhotoView: a random crop and a horizontal flip of a photograph, drawn, then applied to image and masks together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from volumen.errors import SettingsError
from volumen.views.geometry import Affine, draw_flips, draw_resized_crop, warp

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Name = Literal["none", "flip_crop"]

_EDGE = 0.5  # a pixel of a mask that is interpolated belongs to the side that it is mostly of


@dataclass(frozen=True, kw_only=True)
class PhotoView:
    """What is done to a photograph before it is learned from.

    Parameters
    ----------
    name
        ``none``: nothing. ``flip_crop``: a box of random size, place and aspect, stretched to the photograph's size,
        and every other time its mirror image, left to right.
    area
        Least and most of the photograph that the box holds; (1, 1) only flips.

    Raises
    ------
    SettingsError
        If there is no view of that name, or the shares are not in (0, 1].

    Examples
    --------
    >>> import numpy as np, torch
    >>> view = PhotoView(name="flip_crop")
    >>> image, target = torch.rand(3, 32, 48), torch.zeros(1, 32, 48)
    >>> drawn = view.draw(np.random.default_rng(0), (3, 32, 48))
    >>> [tuple(each.shape) for each in view.apply(drawn, image, target, torch.ones(1, 32, 48))]
    [(3, 32, 48), (1, 32, 48), (1, 32, 48)]
    """

    name: Name = "flip_crop"
    area: tuple[float, float] = (0.5, 1.0)

    def __post_init__(self) -> None:
        if self.name not in get_args(Name):
            raise SettingsError(f"Views are {', '.join(get_args(Name))}; got {self.name!r}.")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise SettingsError(f"A box holds a share of 0…1 of a photograph, 0 excluded; got {self.area}.")

    def draw(self, generator: np.random.Generator, shape: tuple[int, int, int]) -> Affine:
        """Make all random choices for a photograph of ``shape`` CHW; the generator alone decides them."""
        if self.name == "none":
            return Affine()
        _, height, width = shape
        crop = Affine()
        if self.area != (1.0, 1.0):
            crop = draw_resized_crop(generator, (height, width), (height, width), area=self.area)
        return crop @ draw_flips(generator, (height, width), vertical=0.0)

    def apply(self, drawn: Affine, image: Tensor, *flats: Tensor) -> tuple[Tensor, ...]:
        """Show a photograph as drawn.

        Parameters
        ----------
        drawn
            What `draw` returned for this image's shape.
        image
            CHW float32 in [0, 1].
        flats
            At least one, 1HW float32, 0 or 1; the last says what counts.

        Returns
        -------
        tuple
            Image and flats of the same shapes; the flats are still 0 or 1.
        """
        image, *shown = warp(drawn, (image.shape[1], image.shape[2]), image, *flats)
        return image, *((flat > _EDGE).to(flat.dtype) for flat in shown)
