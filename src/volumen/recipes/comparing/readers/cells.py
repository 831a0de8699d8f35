"""ReaderCell: one way to train a reader in a comparison, and the settings of its runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.run_folder import weights_file
from volumen.settings import TrainReader
from volumen.settings.comparing import RANDOM, SEED
from volumen.settings.train_reader import ReaderTraining

if TYPE_CHECKING:
    from volumen.models.recognizer.decoders import DecoderName
    from volumen.settings.compare_handwriting import CompareHandwriting


@dataclass(frozen=True, kw_only=True)
class ReaderCell:
    """One way to train a reader; its runs differ in their seed only.

    Parameters
    ----------
    decoder
        As ``volumen train reader`` calls it.
    share
        Of the lines that may be learned from, in (0, 1].
    encoder
        What its recogniser starts from: the name of pretrained weights, or ``random``.
    frozen
        Whether the recogniser stays as it is.
    """

    decoder: DecoderName
    share: float
    encoder: str
    frozen: bool

    @property
    def mode(self) -> str:
        """How much of it is trained: ``frozen`` or ``full``."""
        return "frozen" if self.frozen else "full"

    @property
    def name(self) -> str:
        """What to call it beside others of its decoder and share, such as ``seqclr-frozen``."""
        return f"{self.encoder}-{self.mode}"

    @property
    def words(self) -> str:
        """What to call it while it is trained."""
        return f"{self.decoder}, {self.name}, {self.share:g} of the labels"

    def differs_in_weights(self, other: ReaderCell) -> bool:
        """Say whether it differs from another cell in what its recogniser starts from, and in nothing else."""
        return self != other and replace(self, encoder=other.encoder) == other

    def folder(self, out: str, seed: int) -> Path:
        """Where its run with a seed is."""
        return Path(out) / "runs" / self.decoder / f"{self.share:g}" / self.name / f"seed{seed}"

    def settings(self, chosen: CompareHandwriting, seed: int) -> TrainReader:
        """Return the settings of its run with a seed: those of the comparison, but for what the cell is.

        Raises
        ------
        SourceNotFoundError
            Its pretrained weights are given by a folder that holds none.
        """
        shared = {name: getattr(chosen, name) for name in ReaderTraining.model_fields}
        files = dict(zip(chosen.pretext_names, chosen.pretext, strict=True))
        own = {
            "out": str(self.folder(chosen.out, seed)),
            "overwrite": False,
            "resume": True,
            "seed": seed,
            "encoder": None if self.encoder == RANDOM else weight_file(files[self.encoder], seed),
            "freeze": self.frozen,
            "decoder": self.decoder,
            "label_share": self.share,
        }
        if self.frozen and chosen.frozen_learning_rate is not None:
            own["learning_rate"] = chosen.frozen_learning_rate
        return TrainReader(**{**shared, **own})


def cells_of(chosen: CompareHandwriting) -> tuple[ReaderCell, ...]:
    """List every cell: for each decoder at each share, from random and from each pretrained weights, in each mode."""
    return tuple(
        ReaderCell(decoder=decoder, share=share, encoder=encoder, frozen=mode == "frozen")
        for decoder in chosen.decoder
        for share in chosen.share
        for encoder in (RANDOM, *chosen.pretext_names)
        for mode in chosen.training
    )


def weight_file(path: str, seed: int) -> str:
    """Return the file of pretrained weights for the runs of a seed: the best of a run, where a folder is given.

    Raises
    ------
    SourceNotFoundError
        The folder holds no weights.
    """
    return str(weights_file(path.replace(SEED, str(seed))))
