"""LossTerms: what an objective returns, the number to descend and the parts that it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LossTerms:
    """A loss and its parts.

    Parameters
    ----------
    total
        Scalar to call ``backward`` on.
    terms
        Named scalars to report, detached from the graph.
    """

    total: Tensor
    terms: Mapping[str, Tensor]
