"""Weights: checkpoints of every kind, weights of others, which may be pickles, and the state of a run."""

from __future__ import annotations

import io
import json
import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from harness import Harness, each_way
from volumen.models.checkpoint import load_checkpoint, load_encoder, read_header, read_origin
from volumen.models.photo_encoder import build_photo_encoder
from volumen.models.reader_checkpoint import load_reader
from volumen.models.recognizer.reader import Reader
from volumen.models.segmenters import build_segmenter
from volumen.models.tagger_checkpoint import load_tagger
from volumen.models.weights import read_weights
from volumen.recipes.ink_model import load_model
from volumen.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn

    from harness import Parts

_NORMALIZATION = {"kind": "divide", "low": 0.0, "high": 1.0, "ceiling": 1.0, "outside": []}


def _checkpoint(folder: Path) -> None:
    path = folder / "model.safetensors"
    each_way(
        partial(read_origin, path),
        partial(read_header, path),
        partial(load_checkpoint, path),
        partial(load_reader, path),
        partial(load_tagger, path),
        lambda: load_model(path, device="cpu").layers(4),
    )


def _pickle(folder: Path) -> None:
    path = folder / "weights.pth"
    each_way(partial(read_weights, path), lambda: load_encoder(torch.nn.Conv2d(1, 2, 1), path))


def _state(folder: Path) -> None:
    Run.open(folder / "run").load_state()


def _file(model: nn.Module, header: dict[str, Any]) -> bytes:
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return save(tensors, metadata={"volumen": json.dumps({**header, "volumen": "0.1.0"})})


def _checkpoints() -> Iterator[Parts]:
    ink = build_segmenter("simple_segnet", in_channels=2, width=0.02)
    seen = {"layer_count": 2, "surface_offset": -1, "normalization": _NORMALIZATION, "window": 32, "threshold": 0.5}
    yield (_file(ink, seen | {"architecture": ink.architecture, "held_out": {"a": [[0, 1, 0, 1]]}, "scores": {}}),)
    unet = build_segmenter("custom_unet", in_channels=2, width=0.02)
    yield (_file(unet, seen | {"architecture": unet.architecture}),)
    reader = Reader(3, width=0.04)
    yield (
        _file(reader, {"reader": reader.architecture, "alphabet": ["a", "b"], "form": {"height": 32, "width": None}}),
    )
    tagger = build_photo_encoder("custom_unet", 2, width=0.02)
    yield (_file(tagger, {"tagger": tagger.architecture, "tags": ["red", "wool"], "standard": "imagenet"}),)
    yield (_file(torch.nn.Conv2d(1, 1, 1), {"encoder": {"encoder_name": "resnet18", "in_channels": 1}}),)
    yield (save({name: torch.zeros(2).to(kind) for name, kind in _KINDS.items()}),)


_KINDS = {"a": torch.float16, "b": torch.bfloat16, "c": torch.int64, "d": torch.bool, "e": torch.uint8}


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def _saved(content: Any, **how: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def _pickles() -> Iterator[Parts]:
    weights = {"weight": torch.zeros(2, 1, 1, 1), "bias": torch.zeros(2)}
    yield (_saved(weights),)
    yield (_saved({"epoch": 3, "state_dict": weights}),)
    yield (_saved(weights, _use_new_zipfile_serialization=False),)
    yield (pickle.dumps(_Payload()),)
    yield (pickle.dumps({"a": 1}, protocol=2),)
    yield (save(weights),)


def _states() -> Iterator[Parts]:
    yield (_saved({"step": 3, "model": {"weight": torch.zeros(3)}, "events_position": 0}),)
    yield (_saved({"step": 3}),)


HARNESSES = {
    each.name: each
    for each in (
        Harness(
            name="safetensors",
            files=("model.safetensors",),
            door=_checkpoint,
            seeds=_checkpoints,
            words=(
                "architecture",
                "encoder",
                "reader",
                "tagger",
                "dtype",
                "data_offsets",
                "shape",
                "__metadata__",
                "F32",
            ),
        ),
        Harness(name="pickles", files=("weights.pth",), door=_pickle, seeds=_pickles),
        Harness(
            name="run state",
            files=("run/last/state.pt",),
            door=_state,
            seeds=_states,
            given=lambda: {"run/recipe.json": b"{}", "run/events.jsonl": b""},
        ),
    )
}
