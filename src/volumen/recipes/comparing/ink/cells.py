"""Cell: one way to train in a comparison, and the settings of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.settings import Finetune
from volumen.settings.comparing import RANDOM
from volumen.settings.finetune import InkTraining

if TYPE_CHECKING:
    from volumen.settings.compare_ink import CompareInk


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way to train; its runs differ in their seed only.

    Parameters
    ----------
    share
        Of the labels, in (0, 1].
    encoder
        What its encoder starts from: the name of a weight file, or ``random``.
    frozen
        Whether the encoder stays as it is.
    augmented
        Whether crops are augmented as chosen; False only in the cell that shows what augmentation is worth.
    """

    share: float
    encoder: str
    frozen: bool
    augmented: bool = True

    @property
    def name(self) -> str:
        """What to call it beside others of its share, such as ``random-frozen``."""
        return f"{self.encoder}-{'frozen' if self.frozen else 'full'}{'' if self.augmented else '-plain'}"

    @property
    def words(self) -> str:
        """What to call it while it is trained."""
        return f"{self.name}, {self.share:g} of the labels"

    def folder(self, out: str, seed: int) -> Path:
        """Where its run with a seed is."""
        return Path(out) / "runs" / f"{self.share:g}" / self.name / f"seed{seed}"

    def settings(self, chosen: CompareInk, seed: int) -> Finetune:
        """Return the settings of its run with a seed: those of the comparison, but for what the cell is."""
        shared = {name: getattr(chosen, name) for name in InkTraining.model_fields}
        files = dict(zip(chosen.encoder_names, chosen.encoder, strict=True))
        own = {
            "out": str(self.folder(chosen.out, seed)),
            "overwrite": False,
            "resume": True,
            "seed": seed,
            "split_seed": chosen.split_seed,
            "encoder": files.get(self.encoder),
            "freeze": self.frozen,
            "label_share": self.share,
            "views": chosen.views if self.augmented else "none",
        }
        return Finetune(**{**shared, **own})


def cells_of(chosen: CompareInk) -> tuple[Cell, ...]:
    """List every cell: at each share, from random weights and from each file, frozen and then full.

    What augmentation is worth is shown at the largest share, by one more cell.
    """
    cells = [
        Cell(share=share, encoder=encoder, frozen=frozen)
        for share in chosen.share
        for encoder in (RANDOM, *chosen.encoder_names)
        for frozen in (True, False)
    ]
    if chosen.ablate_views:
        cells.append(Cell(share=max(chosen.share), encoder=RANDOM, frozen=False, augmented=False))
    return tuple(cells)
