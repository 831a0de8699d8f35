"""Damaged: every kind of file that is read, a command that reads it, and whether it holds checksums."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from small_inputs import ENCODER
from verb_table import VERBS

from volumen import settings
from volumen.settings.command import command_line
from volumen.settings.verbs import verb_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from breaking import Breaker
    from small_inputs import SmallInputs

    from volumen.settings.base import Settings


@dataclass(frozen=True, kw_only=True)
class Read:
    """A file that is read.

    Parameters
    ----------
    name
        In the test's name.
    of
        From the inputs to what it is a part of, a file or a folder, of which a copy is damaged.
    file
        Pattern of the file in that folder; the largest of those that fit is damaged.
    asked
        From the copy, the inputs and an output path to the settings of a command that reads it.
    checked
        Whether a checksum in it makes other numbers an error.
    """

    name: str
    of: Callable[[SmallInputs], str]
    asked: Callable[[str, SmallInputs, str], Settings]
    file: str = ""
    checked: bool = False

    def copied(self, inputs: SmallInputs, folder: Path) -> tuple[Path, Path]:
        """Copy it; return the copy, and the file in it that is to be damaged."""
        source = Path(self.of(inputs))
        beside = source.suffix in (".tsv", ".csv")  # which name files beside them
        copy = folder / "copy" / source.name
        if beside:
            shutil.copytree(source.parent, copy.parent)
        elif source.is_dir():
            shutil.copytree(source, copy)
        else:
            copy.parent.mkdir()
            shutil.copy(source, copy)
        if not self.file:
            return copy, copy
        home = copy.parent if beside else copy
        fitting = (each for each in sorted(home.rglob(self.file)) if each.is_file())
        return copy, max(fitting, key=lambda each: each.stat().st_size)

    def line(self, copy: Path, inputs: SmallInputs, out: Path) -> list[str]:
        """Return the command line of the command that reads it."""
        asked = self.asked(str(copy), inputs, str(out))
        return command_line(verb_of(asked), asked)


def _convert(copy: str, _: SmallInputs, out: str) -> Settings:
    return settings.Convert(source=copy, out=out, chunk=(8, 64, 64))


def _predict(copy: str, inputs: SmallInputs, out: str) -> Settings:
    box = (0, 64, 0, 128)
    return settings.Predict(checkpoint=copy, segment=inputs.segment, out=out, tile=64, region=box, device="cpu")


def _evaluate(copy: str, inputs: SmallInputs, out: str) -> Settings:
    return settings.Evaluate(prediction=copy, segment=inputs.segment, block=32, resamples=5, out=out)


def _boxes(copy: str, _: SmallInputs, out: str) -> Settings:
    return settings.Boxes(prediction=copy, out=out, threshold=0.4)


def _search(copy: str, _: SmallInputs, out: str) -> Settings:
    return settings.Search(index=copy, at=("segment:96,192",), k=4, out=out)


def _index(copy: str, inputs: SmallInputs, out: str) -> Settings:
    box = (0, 64, 0, 128)
    return settings.Index(segments=(inputs.segment,), encoder=copy, out=out, stage=3, region=box, device="cpu")


def _read(copy: str, inputs: SmallInputs, out: str) -> Settings:
    return settings.Read(checkpoint=copy, images=(inputs.words,), out=out, device="cpu")


def _read_lines(copy: str, inputs: SmallInputs, out: str) -> Settings:
    return settings.Read(checkpoint=inputs.reader, images=(copy,), out=out, device="cpu")


def _tagger(copy: str, _: SmallInputs, out: str) -> Settings:
    asked = {"encoder_name": ENCODER, "size": 32, "epochs": 1, "held_out_share": 0.25, "device": "cpu"}
    return settings.TrainTagger(photos=(copy,), out=out, **asked)


def _segmenter(copy: str, _: SmallInputs, out: str) -> Settings:
    asked = {"model": "simple_segnet", "model_width": 1 / 16, "size": 32, "epochs": 1, "held_out_share": 0.25}
    return settings.TrainSegmenter(photos=(copy,), out=out, device="cpu", **asked)


def _label(copy: str, inputs: SmallInputs, out: str) -> Settings:
    return settings.Evaluate(prediction=inputs.map, segment=inputs.segment, ink=(copy,), resamples=5, out=out)


READ = (
    Read(name="npy volume", of=lambda inputs: inputs.voxels, asked=_convert),
    Read(name="tiff layer", of=lambda inputs: inputs.layers, asked=_convert, file="03.tif"),
    Read(name="tiff stack", of=lambda inputs: inputs.stack, asked=_convert),
    Read(name="zarr metadata", of=lambda inputs: inputs.segment, asked=_convert, file="zarr.json"),
    Read(name="zarr chunk", of=lambda inputs: inputs.segment, asked=_convert, file="0/c/**/*"),
    Read(name="ink label", of=lambda inputs: inputs.label, asked=_label),
    Read(name="ink map's metadata", of=lambda inputs: inputs.map, asked=_evaluate, file="zarr.json"),
    Read(name="ink map's chunk", of=lambda inputs: inputs.map, asked=_boxes, file="0/c/**/*"),
    Read(name="model", of=lambda inputs: inputs.model, asked=_predict),
    Read(name="encoder", of=lambda inputs: inputs.encoder, asked=_index),
    Read(name="reader", of=lambda inputs: inputs.reader, asked=_read),
    Read(name="index.json", of=lambda inputs: inputs.index, asked=_search, file="index.json"),
    Read(name="index's job.json", of=lambda inputs: inputs.index, asked=_search, file="job.json"),
    Read(name="index's done", of=lambda inputs: inputs.index, asked=_search, file="done"),
    Read(name="index's windows.npy", of=lambda inputs: inputs.index, asked=_search, file="windows.npy"),
    Read(name="index's vectors.npy", of=lambda inputs: inputs.index, asked=_search, file="vectors.npy"),
    Read(name="list of lines", of=lambda inputs: inputs.words, asked=_read_lines, file="words.tsv"),
    Read(name="image of a line", of=lambda inputs: inputs.words, asked=_read_lines, file="03.png"),
    Read(name="table of photographs", of=lambda inputs: inputs.photos, asked=_tagger, file="labels.csv"),
    Read(name="photograph", of=lambda inputs: inputs.photos, asked=_tagger, file="03.png"),
    Read(name="mask of a photograph", of=lambda inputs: inputs.photos, asked=_segmenter, file="m03.png"),
    Read(
        name="job file",
        of=lambda inputs: inputs.job("phantom", settings.Phantom(out="phantom.zarr", size=(64, 64), layers=8)),
        asked=lambda copy, _, out: settings.Rerun(job=copy, out=out),
        file="job.json",
    ),
    *(
        Read(
            name=f"run's {file}",
            of=lambda inputs: inputs.run,
            asked=lambda copy, inputs, out: settings.Report(runs=(copy,), out=out, predictions=(inputs.map,), places=1),
            file=file,
        )
        for file in ("recipe.json", "events.jsonl", "best.safetensors")
    ),
)


UNFINISHED = {
    "convert": ("job.json", "done", "zarr.json"),
    "finetune": ("recipe.json", "events.jsonl", "state.pt"),
    "predict": ("zarr.json", "blocks.done"),
    "index": ("index.json", "encoder.safetensors", "job.json", "done", "windows.npy", "vectors.npy"),
    "download": ("provenance.json", "download.jsonl"),
}
"""Of what a killed command left and another goes on with, the files that are read, by the command."""


def killed_in_the_middle(breaker: Breaker, verb: str) -> None:
    """Leave what a kill leaves: everything that is read when it is gone on with."""
    (found,) = (each for each in VERBS if each.name == verb)
    changes = breaker.unbroken(found).changes
    for share in (0.7, 0.6, 0.5, 0.8):
        breaker.start_over()
        breaker.begin_or_go_on(found, kill_at=int(changes * share))
        if all(list(breaker.home.rglob(name)) for name in UNFINISHED[verb]):
            return
    raise AssertionError(f"{verb} was never killed in the middle")
