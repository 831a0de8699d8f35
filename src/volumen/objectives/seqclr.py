"""SeqClr: contrast the parts of a line, seen twice, with those of all other lines and with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import torch

from volumen.errors import SettingsError
from volumen.objectives.collapse import read_outs
from volumen.objectives.contrast import CHUNK, symmetric_nce
from volumen.objectives.instances import Mapping, map_instances
from volumen.objectives.terms import LossTerms

if TYPE_CHECKING:
    from torch import Tensor

    from volumen.objectives.encoding import Encoder, Head


@dataclass(frozen=True, kw_only=True)
class SeqClr:
    """Sequence-to-sequence contrastive learning.

    Two views of a batch of lines go through the encoder and the head together; their frames are mapped to instances,
    and `volumen.objectives.contrast.symmetric_nce` tells each instance from all others. Aberdam et al.,
    "Sequence-to-Sequence Contrastive Learning for Text Recognition" (SeqCLR), CVPR 2021, arXiv 2012.10873. With
    the mapping ``all`` it is SimCLR on mean features. Whether the frames are the visual or the contextual ones
    is the encoder's affair; the paper finds the contextual ones better.

    Parameters
    ----------
    mapping
        ``all``, ``window`` or ``frame``; see `volumen.objectives.instances.map_instances`.
    windows
        T' of the window mapping; published 5.
    temperature
        τ, above 0. 0.1 in the authors' later code; the paper does not give it.
    chunk
        Similarities held in memory at a time.

    Raises
    ------
    SettingsError
        If there is no such mapping, or a number is not above 0.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def encoder(images, widths):
    ...     return SimpleNamespace(values=images[:, 0, :, ::4].transpose(1, 2), lengths=widths // 4)
    >>> def head(values, lengths):
    ...     return values
    >>> lines, widths = torch.rand(2, 1, 32, 100), torch.tensor([100, 80])
    >>> float(SeqClr()(encoder, head, lines, lines, widths).terms["alignment"])
    0.0
    """

    mapping: Mapping = "window"
    windows: int = 5
    temperature: float = 0.1
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if self.mapping not in get_args(Mapping):
            raise SettingsError(f"Instance mappings are {', '.join(get_args(Mapping))}; got {self.mapping!r}.")
        if self.windows < 1 or self.temperature <= 0 or self.chunk < 1:
            raise SettingsError(
                "Windows, temperature and chunk must be above 0; "
                f"got {self.windows}, {self.temperature} and {self.chunk}."
            )

    def __call__(
        self, encoder: Encoder, head: Head, first: Tensor, second: Tensor, widths: Tensor, *, look: bool = True
    ) -> LossTerms:
        """Score two views of a batch.

        Both views go through the encoder as one batch, so that batch statistics are those of both.

        Parameters
        ----------
        encoder, head
            From images and widths to frames, and from frames to what is contrasted.
        first, second
            (N, 1, H, W) each in [0, 1]; views keep a line's size, and so the place of its frames.
        widths
            int64 (N,), valid pixels of each line, the same in both views.
        look
            Also take the read-outs of `volumen.objectives.collapse.read_outs`, which cost a small
            eigendecomposition.

        Returns
        -------
        LossTerms
            ``terms`` holds ``matched`` (share of instances nearest to their own), ``instances`` (how many in a
            view), and with ``look`` ``alignment``, ``uniformity`` and ``effective_rank``.

        Raises
        ------
        SettingsError
            If the views differ in shape, or no line has a frame.
        """
        if first.shape != second.shape or tuple(widths.shape) != (len(first),):
            raise SettingsError(
                "Two views of a batch have one shape, N1HW, and a width a line; "
                f"got {tuple(first.shape)}, {tuple(second.shape)} and {tuple(widths.shape)}."
            )
        frames = encoder(torch.cat([first, second]), torch.cat([widths, widths]))
        values, lengths = head(frames.values, frames.lengths), frames.lengths
        half = len(first)
        a, b = (
            map_instances(self.mapping, values[part], lengths[part], windows=self.windows)
            for part in (slice(0, half), slice(half, None))
        )
        loss, matched = symmetric_nce(a.values, b.values, temperature=self.temperature, chunk=self.chunk)
        number = torch.tensor(float(len(a.owner)), device=loss.device)
        looks = read_outs(a.values, b.values) if look else {}
        return LossTerms(total=loss, terms={"matched": matched, "instances": number, **looks})
