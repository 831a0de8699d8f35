"""ApparelCell: one route to an encoder, or to masks, in a comparison, and the settings of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from volumen.run_folder import weights_file
from volumen.settings.compare_apparel import IMAGENET, STARTS
from volumen.settings.comparing import RANDOM
from volumen.settings.pretrain_photos import PhotoPretraining, PretrainPhotos
from volumen.settings.train_segmenter import SegmenterTraining, TrainSegmenter
from volumen.settings.train_tagger import TaggerTraining, TrainTagger

if TYPE_CHECKING:
    from volumen.settings.compare_apparel import CompareApparel

Work = Literal["tagger", "rotation", "triplet", "spark", "segmenter", "nothing"]

SEGMENTER = "segmenter"
"""The route whose masks are used."""

_WORKS: dict[str, Work] = {
    "scratch-plain": "tagger",
    "scratch": "tagger",
    "rotation": "rotation",
    "spark": "spark",
    "triplet": "triplet",
    "triplet-scratch": "triplet",
    "finetuned-rotation": "tagger",
    "finetuned-spark": "tagger",
    "finetuned-imagenet": "tagger",
    SEGMENTER: "segmenter",
}
_FROM_IMAGENET = ("rotation", "triplet", SEGMENTER, "finetuned-imagenet")  # where there is such a file


@dataclass(frozen=True, kw_only=True)
class ApparelCell:
    """One route; its runs differ in their seed only.

    Parameters
    ----------
    name
        Of the route, or ``random`` or ``imagenet`` for an encoder that nothing was taught.
    work
        What is trained.
    start
        What the encoder starts from: ``random``, ``imagenet``, or the name of another route.
    """

    name: str
    work: Work
    start: str = RANDOM

    @property
    def share(self) -> float:
        """Share of the photographs that it learns from: all of them."""
        return 1.0

    @property
    def words(self) -> str:
        """What to call it while it is trained."""
        return f"{self.name}, from {self.start}"

    def folder(self, out: str, seed: int) -> Path:
        """Where its run with a seed is."""
        return Path(out) / "runs" / self.name / f"seed{seed}"

    def encoder(self, chosen: CompareApparel, seed: int) -> str | None:
        """Return the file of weights that its run with a seed starts from, or None.

        Raises
        ------
        SourceNotFoundError
            The run that it starts from has no weights yet.
        """
        match self.start:
            case "random":
                return None
            case "imagenet":
                return chosen.imagenet
            case start:
                before = ApparelCell(name=start, work=_WORKS[start])
                return str(weights_file(before.folder(chosen.out, seed)))

    def settings(self, chosen: CompareApparel, seed: int) -> TrainTagger | PretrainPhotos | TrainSegmenter:
        """Return the settings of its run with a seed: those of the comparison, but for what the route is."""
        own: dict[str, Any] = {
            "out": str(self.folder(chosen.out, seed)),
            "overwrite": False,
            "resume": True,
            "seed": seed,
            "encoder": self.encoder(chosen, seed),
        }
        if self.work == "tagger":
            views = {"views": "none"} if self.name == "scratch-plain" else {}
            return TrainTagger(**{**_shared(chosen, TaggerTraining), **own, **views})
        if self.work == "segmenter":
            own |= {
                "epochs": chosen.segment_epochs,
                "batch": chosen.segment_batch,
                "model": "unet",
                "loss": "dice",
                "score": "iou_hard_image",
            }
            return TrainSegmenter(**{**_shared(chosen, SegmenterTraining), **own})
        return PretrainPhotos(
            **{**_shared(chosen, PhotoPretraining), **own, "epochs": chosen.pretrain_epochs, "task": self.work}
        )


def _shared(chosen: CompareApparel, kind: type[Any]) -> dict[str, Any]:
    return {name: getattr(chosen, name) for name in kind.model_fields if hasattr(chosen, name)}


def cells_of(chosen: CompareApparel) -> tuple[ApparelCell, ...]:
    """List what is trained, each after what it starts from; what lacks the ImageNet file is `lacking`."""
    routes = [route for route in _WORKS if route in chosen.routes and route not in lacking(chosen)]
    return tuple(ApparelCell(name=route, work=_WORKS[route], start=_start(route, chosen)) for route in routes)


def untrained_of(chosen: CompareApparel) -> tuple[ApparelCell, ...]:
    """List the encoders that nothing is taught here: random weights, and ImageNet's where they are given."""
    given = (IMAGENET,) if chosen.imagenet is not None else ()
    return tuple(ApparelCell(name=start, work="nothing", start=start) for start in (RANDOM, *given))


def lacking(chosen: CompareApparel) -> tuple[str, ...]:
    """Name the rows that need a file with ImageNet's weights, where none was given."""
    if chosen.imagenet is not None:
        return ()
    return (*(("finetuned-imagenet",) if "finetuned-imagenet" in chosen.routes else ()), IMAGENET)


def _start(route: str, chosen: CompareApparel) -> str:
    if route in STARTS:
        return STARTS[route]
    return IMAGENET if chosen.imagenet is not None and route in _FROM_IMAGENET else RANDOM
