"""comparison.json: what a comparison is of, so that it goes on with the same, and what came out."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.crops.label_share import keep_share
from volumen.errors import OutputExistsError, SettingsError, SourceError
from volumen.events import Finished, to_json
from volumen.models.checkpoint import load_encoder, read_origin
from volumen.models.unet import build_unet
from volumen.recipes.bookkeeping import recipe_of
from volumen.recipes.comparing.cells import Cell, seeds_of
from volumen.recipes.lessons import Lessons
from volumen.recipes.reporting.page import write_all
from volumen.settings.compare import RANDOM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.settings.compare import CompareInk

FILE = "comparison.json"
_FREE = ("out", "overwrite", "resume", "save_seconds", "places")  # what may differ when it is gone on with
_ORIGIN = ("pretext", "layers", "normalization", "held_out")  # what is kept of an encoder file's header


@dataclass(frozen=True)
class Record:
    """The folder of a comparison, and what its ``comparison.json`` says.

    Parameters
    ----------
    path
        The folder.
    content
        ``settings``, ``versions``, ``segments`` (their identities), ``held_out`` (boxes by segment), ``encoders``
        (file, digest, what was loaded and what its header says, by name), and, once it is finished, ``results``.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def begin(cls, chosen: CompareInk) -> Record:
        """Begin a comparison, or go on with the one at its output path; what does not fit is found before any training.

        Raises
        ------
        SettingsError
            It was begun with other settings; the message says which.
        SourceError
            A segment, a label or an encoder file is no longer what it was begun with.
        OutputExistsError
            Something else is there, or it is not to be gone on with.
        CheckpointError
            An encoder file does not fit.
        """
        path = Path(chosen.out)
        before = _read(path)
        if before is None and path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OutputExistsError(f"{path} is already there and is no comparison. Choose another folder.")
        if before is not None and not chosen.overwrite:
            if not chosen.resume:
                raise OutputExistsError(f"{path} holds a comparison already. Resume it, or choose another folder.")
            _check_settings(path, before, chosen)
        now = _look(chosen)
        if before is not None and not chosen.overwrite:
            _check_data(path, before, now)
            return cls(path, before)
        if before is not None:
            aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.replaced")
            path.rename(aside)
            shutil.rmtree(aside)
        record = cls(path, now)
        record.write()
        return record

    def write(self, results: Mapping[str, Any] | None = None) -> None:
        """Write ``comparison.json``, whole or not at all; numbers that are undefined become null."""
        content = {**self.content, "results": results}
        plain = json.loads(to_json(Finished(result=content)))["result"]
        write_all(self.path, {FILE: json.dumps(plain, indent=1, ensure_ascii=False) + "\n"})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((path / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise SourceError(f"{path / FILE} is damaged: {error}. Restore it, or begin another comparison.") from error
    if not isinstance(content, dict) or content.get("verb") != "compare ink":
        raise SourceError(f"{path / FILE} was not written by `volumen compare ink`. Choose another folder.")
    return content


def _look(chosen: CompareInk) -> dict[str, Any]:
    """Open everything that the runs will open: the data, every share of the labels, and every encoder file."""
    lessons = Lessons.of(Cell(share=1.0, encoder=RANDOM, frozen=False).settings(chosen, chosen.seed))
    for share in chosen.share:
        for seed in seeds_of(chosen):
            keep_share(lessons.segments, lessons.splits, share=share, seed=seed)
    encoders = {}
    for name, file in zip(chosen.encoder_names, chosen.encoder, strict=True):
        model = build_unet(chosen.encoder_name, lessons.layer_count)
        report = load_encoder(model, file, adapt_channels=chosen.adapt_channels)
        report.check(file, least=chosen.least_loaded)
        origin = read_origin(file)
        encoders[name] = {
            "file": file,
            "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
            "loaded": str(report),
            "adapted": bool(report.adapted),
            "origin": {key: origin[key] for key in _ORIGIN if key in origin},
        }
    by = [split.by for split in lessons.splits]
    return recipe_of(
        "compare ink", chosen, lessons.identities, held_out=lessons.held_out_boxes, by=by, encoders=encoders
    )


def _check_settings(path: Path, before: Mapping[str, Any], chosen: CompareInk) -> None:
    recorded = before["settings"]
    changed = [
        f"{name} was {recorded.get(name)!r}, now {value!r}"
        for name, value in chosen.model_dump(mode="json").items()
        if name not in _FREE and recorded.get(name) != value
    ]
    if changed:
        raise SettingsError(
            f"{path} was begun with other settings: {'; '.join(changed)}. Give those again, or choose another folder."
        )


def _check_data(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [
        f"{name} of {segment['name']}"
        for segment, other in zip(before["segments"], now["segments"], strict=True)
        for name in segment
        if segment[name] != other.get(name)
    ]
    changed += [
        f"the encoder file {encoder['file']}"
        for name, encoder in before["encoders"].items()
        if encoder["sha256"] != now["encoders"][name]["sha256"]
    ]
    if changed:
        raise SourceError(
            f"{path} cannot go on: {', '.join(changed)} changed since it was begun. "
            f"Bring the former data back, or begin another comparison."
        )
