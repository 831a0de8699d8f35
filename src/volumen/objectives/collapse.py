"""Collapse: read-outs of two views' instances that show whether a contrastive task is being learned or dodged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from volumen.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

_AT_MOST = 1024  # instances looked at; a read-out needs no more, and uniformity takes their square


@torch.no_grad()
def read_outs(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Measure on the CPU how instances (M, F) of one view lie, and how near their own in the other view.

    Of more than 1024 instances, as many are looked at, evenly spaced.

    Returns
    -------
    dict
        ``alignment``
            Mean squared distance of partners on the unit sphere, 0 (alike) to 4 (Wang & Isola, ICML 2020).
        ``uniformity``
            Logarithm of the mean of ``exp(-2 d²)`` over pairs of the first view: 0 where all lie in one point, about
            ``-4`` where they spread over the sphere (ibid.). NaN for a single instance.
        ``effective_rank``
            Exponential of the entropy of the first view's singular values over their sum, on the unit sphere and
            not centred (Roy & Vetterli, 2007; RankMe, Garrido et al., ICML 2023): 1 where all lie on one line
            through the origin, at most min(M, F).

    Raises
    ------
    SettingsError
        If the views differ in shape or hold nothing.

    Examples
    --------
    >>> {name: round(float(value), 3) for name, value in read_outs(torch.eye(4), torch.eye(4)).items()}
    {'alignment': 0.0, 'uniformity': -4.0, 'effective_rank': 4.0}
    """
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise SettingsError(
            f"Two views hold the same instances, (M, F) each; got {tuple(first.shape)} and {tuple(second.shape)}."
        )
    step = -(-len(first) // _AT_MOST)
    with torch.autocast("cpu", enabled=False):  # where there is float64, which Apple's GPUs lack
        a, b = (F.normalize(view[::step].float().cpu(), dim=1) for view in (first, second))
        alignment = (a - b).square().sum(dim=1).mean()
        pairs = torch.pdist(a).square().mul(-2)
        uniformity = pairs.logsumexp(dim=0) - torch.log(torch.tensor(float(len(pairs))))
        return {"alignment": alignment, "uniformity": uniformity, "effective_rank": _effective_rank(a)}


def _effective_rank(unit: Tensor) -> Tensor:
    """Return the effective rank of unit vectors (M, F), from the eigenvalues of their smaller Gram matrix.

    In float64: rounding of 1e-7 in an eigenvalue would be 3e-4 in a singular value, and hundreds of those a rank.
    """
    exact = unit.double()
    gram = exact @ exact.T if len(exact) < exact.shape[1] else exact.T @ exact
    singular = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    share = singular / singular.sum()
    rank: Tensor = torch.special.entr(share).sum().exp().float()
    return rank
