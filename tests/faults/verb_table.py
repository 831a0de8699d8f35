"""The table of all commands that write: how each begins, how it goes on after a kill, and what it leaves for whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from claims import comparison, files, ink_map, run, there, window_index
from small_inputs import ENCODER, INK
from verb import Verb

from volumen import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from small_inputs import SmallInputs

    from volumen.settings.base import Settings


_SHEET: dict[str, Any] = {"size": (64, 320), "layers": 8}
_FEW = {"seeds": 1, "resamples": 20, "save_seconds": 0}


def _ink(kind: type[Settings], **more: Any) -> Callable[[SmallInputs, str], Settings]:
    asked = {**INK, "epochs": 2, **more}
    return lambda inputs, out: kind(segments=(inputs.segment,), out=out, **asked)


def _photos(kind: type[Settings], **more: Any) -> Callable[[SmallInputs, str], Settings]:
    asked = {"size": 64, "batch": 6, "epochs": 2, "held_out_share": 0.25, "device": "cpu", "save_seconds": 0, **more}
    return lambda inputs, out: kind(photos=(inputs.photos,), out=out, **asked)


def _lines(kind: type[Settings], **more: Any) -> Callable[[SmallInputs, str], Settings]:
    small = {"height": 32, "model_width": 1 / 16, "batch": 4, "steps": 6, "score_steps": 3, "warm_up_steps": 1}
    asked = {**small, "device": "cpu", "save_seconds": 0, **more}
    return lambda inputs, out: kind(lines=(inputs.words,), out=out, **asked)


def _predict(inputs: SmallInputs, out: str, **more: Any) -> Settings:
    given = {"checkpoint": inputs.model, "segment": inputs.wide, "export": ("tiff", "png")}
    return settings.Predict(**{**given, "out": out, "tile": 128, "overlap": 32, "device": "cpu", **more})


def _predict_photo(inputs: SmallInputs, out: str) -> Settings:
    return _predict(inputs, out, checkpoint=inputs.photo_model, segment=inputs.photograph, export=())


def _convert(inputs: SmallInputs, out: str, **more: Any) -> Settings:
    return settings.Convert(source=inputs.voxels, out=out, chunk=(8, 64, 64), memory_gb=0.0005, **more)


def _index(inputs: SmallInputs, out: str, **more: Any) -> Settings:
    asked = {"window": 32, "stage": 3, "batch": 8, "device": "cpu", **more}
    return settings.Index(segments=(inputs.segment,), encoder=inputs.encoder, out=out, **asked)


def _suggest(inputs: SmallInputs, out: str) -> Settings:
    asked = {"window": 32, "n": 3, "batch": 8, "device": "cpu", "region": None}
    return settings.Suggest(checkpoint=inputs.model, segment=inputs.voxels, out=out, **asked)


def _search(inputs: SmallInputs, out: str) -> Settings:
    return settings.Search(index=inputs.index, at=("segment:96,192",), k=4, out=out)


def _job(inputs: SmallInputs, out: str) -> Settings:
    return settings.Rerun(job=inputs.job("phantom", settings.Phantom(out="phantom.zarr", **_SHEET)), out=out)


VERBS = (
    Verb(name="convert", settings=_convert, again="--resume", claims=there, out="out.zarr"),
    Verb(
        name="convert, 2 workers",
        settings=lambda i, o: _convert(i, o, workers=2),
        again="--resume",
        claims=there,
        out="out.zarr",
    ),
    Verb(
        name="phantom",
        settings=lambda inputs, out: settings.Phantom(out=out, **_SHEET),
        again="--overwrite",
        claims=there,
        out="out.zarr",
    ),
    Verb(name="run", settings=_job, again="--overwrite", claims=there, out="out.zarr"),
    Verb(
        name="download",
        settings=lambda inputs, out: settings.Download(
            segments=(inputs.remote_id,), to=out, host=inputs.served, layout="dev-zarr"
        ),
        again="same",
        claims=files("20230827161847"),
    ),
    Verb(
        name="pretrain spark",
        settings=lambda inputs, out: _ink(
            settings.PretrainSpark, decoder_width=32, input_size=64, warm_up_epochs=0, views="none", save_seconds=0
        )(inputs, out),
        again="--resume",
        claims=run,
    ),
    *(
        Verb(
            name=f"pretrain {kind.__name__.removeprefix('Pretrain').lower()}",
            settings=_lines(kind),
            again="--resume",
            claims=run,
        )
        for kind in (
            settings.PretrainSeqclr,
            settings.PretrainRotation,
            settings.PretrainFlip,
            settings.PretrainJigsaw,
            settings.PretrainSorting,
            settings.PretrainReconstruction,
        )
    ),
    *(
        Verb(
            name=f"pretrain photos, {task}",
            settings=_photos(settings.PretrainPhotos, task=task, encoder_name=ENCODER, decoder_width=32),
            again="--resume",
            claims=run,
        )
        for task in ("rotation", "triplet", "spark")
    ),
    Verb(name="finetune", settings=_ink(settings.Finetune, save_seconds=0), again="--resume", claims=run),
    Verb(name="resume", settings=_ink(settings.Finetune, save_seconds=0), again="resume", claims=run),
    Verb(name="train reader", settings=_lines(settings.TrainReader), again="--resume", claims=run),
    Verb(
        name="train segmenter",
        settings=_photos(settings.TrainSegmenter, model="simple_segnet", model_width=1 / 8),
        again="--resume",
        claims=run,
    ),
    Verb(
        name="train tagger",
        settings=_photos(settings.TrainTagger, encoder_name=ENCODER),
        again="--resume",
        claims=run,
    ),
    Verb(
        name="compare ink",
        settings=lambda inputs, out: _ink(settings.CompareInk, encoder=(inputs.encoder,), block=32, places=1, **_FEW)(
            inputs, out
        ),
        again="--resume",
        claims=comparison,
    ),
    Verb(
        name="compare handwriting",
        settings=lambda inputs, out: _lines(
            settings.CompareHandwriting,
            pretext=(inputs.recogniser,),
            share="1",
            decoder="ctc",
            steps=2,
            score_steps=1,
            examples=1,
            **_FEW,
        )(inputs, out),
        again="--resume",
        claims=comparison,
    ),
    Verb(
        name="compare apparel",
        settings=_photos(
            settings.CompareApparel,
            encoder_name=ENCODER,
            epochs=1,
            pretrain_epochs=1,
            segment_epochs=1,
            decoder_width=32,
            alike=0.6,
            unlike=0.3,
            neighbours=3,
            examples=1,
            **_FEW,
        ),
        again="--resume",
        claims=comparison,
    ),
    Verb(
        name="compare characters",
        settings=_photos(
            settings.CompareCharacters, model="simple_segnet", model_width=1 / 16, epochs=1, examples=1, **_FEW
        ),
        again="--resume",
        claims=comparison,
    ),
    Verb(name="predict", settings=_predict, again="--resume", claims=ink_map, out="out.zarr"),
    Verb(name="predict, a photograph", settings=_predict_photo, again="--resume", claims=ink_map, out="out.zarr"),
    Verb(
        name="predict, 2 workers",
        settings=lambda inputs, out: _predict(inputs, out, workers=2),
        again="--resume",
        claims=ink_map,
        out="out.zarr",
    ),
    Verb(
        name="evaluate",
        settings=lambda i, out: settings.Evaluate(prediction=i.map, segment=i.segment, block=32, resamples=20, out=out),
        again="same",
        claims=there,
        out="scores.json",
    ),
    Verb(
        name="boxes",
        settings=lambda inputs, out: settings.Boxes(prediction=inputs.map, out=out, threshold=0.4),
        again="--overwrite",
        claims=there,
        out="out.json",
    ),
    Verb(name="index", settings=_index, again="same", claims=window_index),
    Verb(
        name="index, 2 workers",
        settings=lambda inputs, out: _index(inputs, out, workers=2),
        again="same",
        claims=window_index,
    ),
    Verb(name="search", settings=_search, again="--overwrite", claims=files("places.json", "places.csv", "sheet.png")),
    Verb(
        name="suggest",
        settings=_suggest,
        again="--resume",
        claims=files("suggestions.json", "suggestions.csv", "sheet.png"),
    ),
    Verb(
        name="read",
        settings=lambda i, out: settings.Read(checkpoint=i.reader, images=(i.words,), out=out, device="cpu"),
        again="--overwrite",
        claims=there,
        out="out.tsv",
    ),
    Verb(
        name="report",
        settings=lambda inputs, out: settings.Report(runs=(inputs.run,), out=out, predictions=(inputs.map,), places=1),
        again="same",
        claims=files("report.html"),
    ),
)

QUICK = ("convert", "phantom", "run", "download")
"""Those that the default suite can afford; the others are slow."""

EVERY = [pytest.param(verb, id=verb.name, marks=[pytest.mark.slow] * (verb.name not in QUICK)) for verb in VERBS]
