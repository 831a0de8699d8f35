"""Triplet: images that share tags are to lie nearer to each other than images that do not, by a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

from volumen.errors import SettingsError
from volumen.objectives.collapse import read_outs
from volumen.objectives.terms import LossTerms

if TYPE_CHECKING:
    from torch import Tensor

Miner = Literal["all", "semi-hard", "hard"]


@dataclass(frozen=True, kw_only=True)
class Triplet:
    """The triplet loss, over triplets mined from a batch by the overlap of their tags.

    A pair is positive where the tags' intersection over union is at least ``alike``, negative where it is at most
    ``unlike``, and neither in between or where both have no tags. With d the Euclidean distance, an anchor a, a
    positive p and a negative n::

        total = mean over mined triplets of max(0, d(a, p) - d(a, n) + margin)

    Miners: ``all`` takes every triplet that violates the margin (Hermans et al., "In Defense of the Triplet Loss",
    2017, arXiv 1703.07737, batch all without zeros). ``semi-hard`` takes for each anchor and positive the nearest
    negative that is farther than the positive, and nothing where there is none (Schroff et al., "FaceNet", CVPR 2015,
    arXiv 1503.03832, equation 4). ``hard`` takes for each anchor its farthest positive and its nearest negative
    (Hermans et al., equation 5), which is the one most prone to collapse: all embeddings in one point give a loss of
    exactly the margin. Where there is no triplet the total is exactly 0, and so is every gradient.

    Parameters
    ----------
    miner
        ``all``, ``semi-hard`` or ``hard``.
    alike, unlike
        Overlaps in [0, 1] from which on, and up to which, a pair is positive, and negative; ``unlike < alike``.

    Raises
    ------
    SettingsError
        If there is no such miner, or the overlaps are not in this order.

    Examples
    --------
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> tags = torch.tensor([[1, 0], [1, 0], [0, 1]])
    >>> terms = Triplet(miner="hard")(embeddings, tags, margin=0.5)
    >>> round(float(terms.total), 3), float(terms.terms["triplets"])
    (1.207, 2.0)
    """

    miner: Miner = "all"
    alike: float = 0.25
    unlike: float = 0.1

    def __post_init__(self) -> None:
        if self.miner not in get_args(Miner):
            raise SettingsError(f"Miners are {', '.join(get_args(Miner))}; got {self.miner!r}.")
        if not 0 <= self.unlike < self.alike <= 1:
            raise SettingsError(
                f"Expected overlaps 0 <= unlike < alike <= 1; got unlike {self.unlike} and alike {self.alike}."
            )

    def __call__(self, embeddings: Tensor, tags: Tensor, margin: Tensor | float, *, look: bool = True) -> LossTerms:
        """Score a batch; memory and time go with N³ for all miners but ``hard``.

        Parameters
        ----------
        embeddings
            (N, D), any float type; the arithmetic runs in float32. On the unit sphere distances lie in [0, 2].
        tags
            (N, L), 1 or True where an image has a tag.
        margin
            Least distance to gain, 0 or more.
        look
            Also take the read-outs of `volumen.objectives.collapse.read_outs`, partners being each image and its
            first positive.

        Returns
        -------
        LossTerms
            ``terms`` holds ``triplets`` (how many were mined), ``violating`` (share of these that do not keep the
            margin, NaN of none), ``nearest_alike`` (share of images with a positive whose nearest neighbour is one,
            NaN of none) and, with ``look`` and two such images or more, ``alignment``, ``uniformity`` and
            ``effective_rank``.

        Raises
        ------
        SettingsError
            If the two are not of as many images.
        """
        if embeddings.ndim != 2 or tags.ndim != 2 or len(embeddings) != len(tags):
            raise SettingsError(
                "Embeddings (N, D) and tags (N, L) are of the same images; "
                f"got {tuple(embeddings.shape)} and {tuple(tags.shape)}."
            )
        exact = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
        with torch.autocast(exact.device.type, enabled=False):
            # by differences, not by the product of matrices, which rounds small distances away
            distance = torch.cdist(exact, exact, compute_mode="donot_use_mm_for_euclid_dist")
        positive, negative = self.pairs(tags)
        gaps, count = self._mine(distance, positive, negative)
        violations = (gaps + margin).clamp_min(0)
        violating = violations > 0
        number = violating.sum() if self.miner == "all" else count
        total = violations.sum() / number.clamp_min(1)
        with torch.no_grad():
            terms = {
                "triplets": count.to(total),
                "violating": violating.sum() / count,
                "nearest_alike": _nearest_alike(distance.detach(), positive),
            }
            partners = positive.any(dim=1)
            if look and int(partners.sum()) > 1:
                first = positive[partners].int().argmax(dim=1)
                terms |= read_outs(exact.detach()[partners], exact.detach()[first])
        return LossTerms(total=total, terms=terms)

    def pairs(self, tags: Tensor) -> tuple[Tensor, Tensor]:
        """Return which pairs are positive and which negative, bool (N, N) each, from tags (N, L)."""
        overlap = tag_overlap(tags)
        itself = torch.eye(len(tags), dtype=torch.bool, device=tags.device)
        return (overlap >= self.alike) & ~itself, (overlap <= self.unlike) & ~itself

    def _mine(self, distance: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        """Return d(a, p) - d(a, n) of the mined triplets, and how many there are."""
        if self.miner == "hard":
            farthest = distance.masked_fill(~positive, -torch.inf).amax(dim=1)
            nearest = distance.masked_fill(~negative, torch.inf).amin(dim=1)
            whole = positive.any(dim=1) & negative.any(dim=1)
            return _kept(farthest - nearest, whole)
        anchors, partners = positive.nonzero(as_tuple=True)
        near, far = distance[anchors, partners][:, None], distance[anchors]  # (P, 1), (P, N)
        others = negative[anchors]
        if self.miner == "all":
            return _kept(near - far, others)
        others = others & (far > near)
        nearest = far.masked_fill(~others, torch.inf).amin(dim=1, keepdim=True)
        return _kept(near - nearest, others.any(dim=1, keepdim=True))


def tag_overlap(tags: Tensor) -> Tensor:
    """Return the intersection over union of the tags of every pair, float32 (N, N); NaN where neither has a tag.

    Examples
    --------
    >>> tag_overlap(torch.tensor([[1, 1, 0], [0, 1, 1]]))[0].tolist()
    [1.0, 0.3333333432674408]
    """
    held = tags.bool().float()
    both, each = held @ held.T, held.sum(dim=1)
    return both / (each[:, None] + each[None] - both)


def rising_margin(step: int, *, steps: int, first: float, last: float, rise: float = 0.5) -> float:
    """Return the margin of ``step`` (from 0) of ``steps``: from ``first`` up in a line to ``last``, then level.

    A small margin at first keeps the loss from driving all embeddings into one point; it is a function of the step
    alone, so that a resumed run needs no state of it.

    Parameters
    ----------
    rise
        Share of the steps in which it rises, in [0, 1].

    Examples
    --------
    >>> [rising_margin(step, steps=8, first=0.0, last=1.0) for step in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    return last if step >= rise * steps else first + (last - first) * step / (rise * steps)


def _kept(gaps: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gaps where there are triplets; selecting keeps infinity out of sums and gradients alike."""
    return gaps[whole], whole.sum()


@torch.no_grad()
def _nearest_alike(distance: Tensor, positive: Tensor) -> Tensor:
    """Return the share of images with a positive whose nearest neighbour is one."""
    itself = torch.eye(len(distance), dtype=torch.bool, device=distance.device)
    nearest = distance.masked_fill(itself, torch.inf).argmin(dim=1)
    asked = positive.any(dim=1)
    found = positive[torch.arange(len(distance), device=distance.device), nearest]
    return (found & asked).sum() / asked.sum()
