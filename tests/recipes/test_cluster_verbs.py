"""predict, convert and index by the workers of a scheduler: the files of one process, begun here and ended there."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from volumen import settings
from volumen.crops.normalize import Normalization
from volumen.errors import CheckpointError
from volumen.events import Started, Stepped, result
from volumen.models.checkpoint import save_checkpoint, save_encoder
from volumen.models.unet import build_encoder, build_unet
from volumen.recipes.finding.index import index
from volumen.recipes.infer import predict
from volumen.sources.pyramids.convert import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

distributed = pytest.importorskip("distributed")

SHAPE = (12, 160, 1056)
HEADER = {"layer_count": 4, "surface_offset": -2, "normalization": Normalization().to_dict()}


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a segment with a mask, a model, and an encoder."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    np.save(folder / "seg.npy", rng.integers(0, 256, SHAPE, np.uint8))
    mask = np.zeros(SHAPE[1:], np.uint8)
    mask[:, 200:] = 255
    Image.fromarray(mask).save(folder / "seg_mask.png")
    torch.manual_seed(0)
    architecture = {"encoder_name": "resnet18", "in_channels": 4}
    save_checkpoint(folder / "model.safetensors", build_unet("resnet18", in_channels=4), HEADER)
    save_encoder(folder / "encoder.safetensors", build_encoder("resnet18", 4), architecture, {"layer_count": 4})
    return folder


@pytest.fixture(scope="module")
def scheduler(same_threads: None) -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=":0"
    ) as local:
        yield local.scheduler_address


def predicting(data: Path, out: Path, **changes: Any) -> settings.Predict:
    fields = {"tile": 96, "overlap": 32, "device": "cpu", "batch": 1, "resume": True, **changes}
    return settings.Predict(
        checkpoint=str(data / "model.safetensors"), segment=str(data / "seg.npy"), out=str(out), **fields
    )


def converting(data: Path, out: Path, **changes: Any) -> settings.Convert:
    fields = {"chunk": (4, 64, 64), "memory_gb": 0.0005, "resume": True, **changes}
    return settings.Convert(source=str(data / "seg.npy"), out=str(out), **fields)


def indexing(data: Path, out: Path, **changes: Any) -> settings.Index:
    fields = {"window": 32, "stride": 32, "batch": 4, "stage": 3, "device": "cpu", **changes}
    encoder = str(data / "encoder.safetensors")
    return settings.Index(segments=(str(data / "seg.npy"),), encoder=encoder, out=str(out), **fields)


VERBS: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "predict": (predict, predicting, "map.zarr"),
    "convert": (convert, converting, "volume.zarr"),
    "index": (index, indexing, "index"),
}


@pytest.mark.parametrize("name", VERBS)
def test_the_files_of_one_process(data: Path, scheduler: str, tmp_path: Path, name: str) -> None:
    verb, chosen, out = VERBS[name]
    alone, shared, begun = (tmp_path / place / out for place in ("alone", "shared", "begun"))
    for path in (alone, shared, begun):
        path.parent.mkdir()
    result(verb(chosen(data, alone)))
    events = list(verb(chosen(data, shared, scheduler=scheduler)))
    assert files(shared) == files(alone)
    (started,) = (event for event in events if isinstance(event, Started))
    assert [event.done for event in events if isinstance(event, Stepped)][-1] == started.total

    with closing(verb(chosen(data, begun, scheduler=scheduler))) as stream:
        next(event for event in stream if isinstance(event, Stepped) and event.done > started.total * 7 // 8)
    events = list(verb(chosen(data, begun)))
    assert files(begun) == files(alone)
    first = next(event for event in events if isinstance(event, Stepped))
    assert first.done > started.total // 10  # it went on


def test_a_checkpoint_that_changes_meanwhile_is_noticed(data: Path, scheduler: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.write_bytes((data / "model.safetensors").read_bytes())
    chosen = predicting(data, tmp_path / "map.zarr", scheduler=scheduler).model_copy(
        update={"checkpoint": str(checkpoint)}
    )
    events = predict(chosen)
    next(event for event in events if isinstance(event, Started))
    save_checkpoint(checkpoint, build_unet("resnet18", in_channels=4), HEADER)
    with pytest.raises(CheckpointError, match="not the file that the map was begun with"):
        list(events)


def test_workers_and_a_scheduler_are_one_too_many(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="give one of the two"):
        predicting(data, tmp_path / "map.zarr", workers=2, scheduler="tcp://127.0.0.1:8786")
