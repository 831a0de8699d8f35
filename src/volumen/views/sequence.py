"""SequenceView: the changes of a line that leave its letters legible and in order, drawn, then applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from volumen.errors import SettingsError
from volumen.views.distort import Lattice, Perspective, Slant, Trim
from volumen.views.intensity import LinearContrast, Sharpen, SoftBlur, StrokeWeight

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor

Name = Literal["none", "light", "handwriting", "handwriting_strong", "seqclr"]
Change = LinearContrast | SoftBlur | Sharpen | StrokeWeight | Trim | Slant | Lattice | Perspective
Size = tuple[int, int]
Range = tuple[float, float]
Draw: TypeAlias = "Callable[[np.random.Generator, Size], Change]"

_LIGHT: tuple[Draw, ...] = (
    lambda generator, _: LinearContrast.draw(generator, gain=(0.5, 1.0)),
    lambda generator, _: SoftBlur.draw(generator, sigma=(0.5, 1.5)),
    lambda generator, size: Trim.draw_rows(generator, size, most=0.4),
    lambda generator, size: Trim.draw_columns(generator, size, most=0.02),
)


def _handwriting(*, margins: float, slant: float, weight: float) -> tuple[Draw, ...]:
    contrast, _, _, columns = _LIGHT
    return (
        contrast,
        lambda generator, _: SoftBlur.draw(generator, sigma=(0.3, 0.8)),
        lambda generator, size: Trim.draw_rows(generator, size, most=0.1),
        columns,
        lambda generator, size: Trim.draw_margins(generator, size, most=margins),
        lambda generator, _: Slant.draw(generator, most=slant),
        lambda generator, _: StrokeWeight.draw(generator, most=weight),
    )


def _warps(*, lattice: Range = (0.02, 0.03), perspective: Range = (0.01, 0.02)) -> tuple[Draw, ...]:
    return (
        lambda generator, size: Lattice.draw(generator, size, scale=lattice),
        lambda generator, size: Perspective.draw(generator, size, scale=perspective),
    )


_LISTS: dict[Name, tuple[Draw, ...]] = {
    "none": (),
    "light": _LIGHT,
    "handwriting": (*_handwriting(margins=0.1, slant=20.0, weight=0.5), *_warps()),
    "handwriting_strong": (
        *_handwriting(margins=0.3, slant=30.0, weight=0.8),
        *_warps(lattice=(0.03, 0.06), perspective=(0.02, 0.05)),
    ),
    "seqclr": (
        *_LIGHT,
        lambda generator, _: Sharpen.draw(generator, alpha=(0.0, 0.5), lightness=(0.0, 0.5)),
        *_warps(),
    ),
}
_NUMBERS: dict[Name, tuple[int, int]] = {"handwriting_strong": (4, 7)}  # of changes of one view, least and most
_PUBLISHED = (1, 5)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """All random choices of one view of one line.

    Parameters
    ----------
    shape
        CHW of the image that it was drawn for.
    changes
        What is done to it, in order.
    """

    shape: tuple[int, int, int]
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class SequenceView:
    """Draw and apply a list of changes to a line; its size stays.

    From one to five changes of the list, of the strong one four to seven, each at most once, in random order. Nothing
    turns the line round, mirrors it or moves it far along: the frames of two views show the same strokes. Apply a view
    before the line is padded.

    Parameters
    ----------
    name
        ``seqclr``: the list in the appendix of SeqCLR (Aberdam et al., CVPR 2021, arXiv 2012.10873), strengths as
        published: contrast, blur, up to 40 % off top and bottom, up to 2 % off left and right, sharpness, a lattice,
        perspective. ``light``: the first four of it. ``handwriting``: for lines cut close to their ink, of which the
        published trim and blur leave little: at most 10 % off top and bottom, half the blur; in place of sharpness
        what hands differ in: slant up to 20°, which moves tops and feet by up to a fifth of the height, size, weight
        of the strokes; the rest as published. ``handwriting_strong``: the same kinds, all but the first four stronger,
        slant up to 30°, for tasks that compare two views of a line: they are not to be told by their pixels.
        ``none``: the line as it is.

    Raises
    ------
    SettingsError
        If there is no such list.

    Examples
    --------
    >>> import numpy as np, torch
    >>> view = SequenceView(name="seqclr")
    >>> drawn = view.draw(np.random.default_rng(0), (1, 64, 300))
    >>> view.apply(drawn, torch.rand(1, 64, 300)).shape
    torch.Size([1, 64, 300])
    """

    name: Name = "seqclr"

    def __post_init__(self) -> None:
        if self.name not in get_args(Name):
            raise SettingsError(f"Views of a line are {', '.join(get_args(Name))}; got {self.name!r}.")

    def draw(self, generator: np.random.Generator, shape: tuple[int, int, int]) -> Drawn:
        """Make all random choices for an image of ``shape`` CHW; the generator alone decides them."""
        kinds = _LISTS[self.name]
        if not kinds:
            return Drawn(shape=shape, changes=())
        least, most = _NUMBERS.get(self.name, _PUBLISHED)
        number = int(generator.integers(least, min(most, len(kinds)) + 1))
        chosen = generator.choice(len(kinds), size=number, replace=False)  # in random order
        size = (shape[1], shape[2])
        return Drawn(shape=shape, changes=tuple(kinds[kind](generator, size) for kind in chosen))

    def apply(self, drawn: Drawn, image: Tensor) -> Tensor:
        """Show a line as drawn; the same each time, and what was passed in is not changed.

        Parameters
        ----------
        drawn
            What `draw` returned for this image's shape.
        image
            CHW float32 in [0, 1], on the CPU, without padding.

        Returns
        -------
        Tensor
            CHW float32 in [0, 1], of the same shape and with memory of its own.

        Raises
        ------
        SettingsError
            If the shape is not the one that it was drawn for.
        """
        if tuple(image.shape) != drawn.shape:
            raise SettingsError(f"This view was drawn for an image {drawn.shape}; got {tuple(image.shape)}.")
        image = image.clone()
        for change in drawn.changes:
            image = change(image)
        return image.clamp_(0, 1)  # interpolation between ones may round above one
