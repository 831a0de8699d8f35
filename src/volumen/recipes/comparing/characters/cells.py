"""CharacterCell: one way to train a model that finds characters in a comparison, and the settings of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.settings.train_segmenter import SegmenterTraining, TrainSegmenter

if TYPE_CHECKING:
    from volumen.settings.compare_characters import CompareCharacters


@dataclass(frozen=True, kw_only=True)
class CharacterCell:
    """One way to train; its runs differ in their seed only.

    Parameters
    ----------
    model
        ``simple_segnet``, ``custom_unet`` or ``unet``.
    loss
        ``dice``, ``bce`` or ``bce_dice``.
    """

    model: str
    loss: str

    @property
    def share(self) -> float:
        """Share of the photographs that it learns from: all."""
        return 1.0

    @property
    def name(self) -> str:
        """What to call it, such as ``custom_unet-dice``."""
        return f"{self.model}-{self.loss}"

    @property
    def words(self) -> str:
        """What to call it while it is trained."""
        return f"{self.model}, {self.loss}"

    def folder(self, out: str, seed: int) -> Path:
        """Where its run with a seed is."""
        return Path(out) / "runs" / self.model / self.loss / f"seed{seed}"

    def settings(self, chosen: CompareCharacters, seed: int) -> TrainSegmenter:
        """Return the settings of its run with a seed: those of the comparison, but for what the cell is."""
        shared = {name: getattr(chosen, name) for name in SegmenterTraining.model_fields}
        own = {
            "out": str(self.folder(chosen.out, seed)),
            "overwrite": False,
            "resume": True,
            "seed": seed,
            "model": self.model,
            "loss": self.loss,
        }
        return TrainSegmenter(**{**shared, **own})


def cells_of(chosen: CompareCharacters) -> tuple[CharacterCell, ...]:
    """List every cell: each model with each loss, in the order in which they are named."""
    return tuple(CharacterCell(model=model, loss=loss) for model in chosen.model for loss in chosen.loss)
