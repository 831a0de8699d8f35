"""Training, prediction and conversion straight from a server: what was read once is never asked for again."""

from __future__ import annotations

import os
import sys
from subprocess import run as run_process
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from PIL import Image

from http_server import Served, serving
from volumen import settings
from volumen.crops.batches import batches
from volumen.crops.datasets import CropDataset
from volumen.crops.normalize import Normalization
from volumen.events import Scored, result
from volumen.recipes.check import check
from volumen.recipes.finetune import finetune
from volumen.recipes.infer import predict
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import open_map
from volumen.sources.remote import mirror as mirroring
from volumen.windows import grid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from volumen.sources.segment import Segment

SHAPE = (12, 128, 192)
SMALL = {
    "layers": 8,
    "window": 64,
    "encoder_name": "resnet18",
    "epochs": 2,
    "batch": 8,
    "views": "flips",
    "held_out_region": (0, 128, 128, 192),
    "device": "cpu",
}


@pytest.fixture(autouse=True)
def _trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring, "TRUST", 1e9)  # however slow the machine is


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """Serve a segment with bright ink, as object stores do: without listing."""
    folder = tmp_path / "served"
    folder.mkdir()
    ink = np.zeros(SHAPE[1:], np.uint8)
    for y in range(16, 112, 32):
        ink[y : y + 12, 10:182] = 255
    voxels = np.random.default_rng(0).integers(60, 120, SHAPE, np.uint8)
    voxels[4:8] += (ink > 0).astype(np.uint8) * 60
    zarr.create_array(folder / "seg.zarr", data=voxels, chunks=(4, 64, 64))
    Image.fromarray(ink).save(folder / "seg_inklabels.png")
    with serving(folder, missing=403) as served:
        yield served


def read_all(segment: Segment, threads: int) -> list[np.ndarray]:
    items = [(segment, window) for window in grid(segment.window.layers(2, 10), 64, 48)]
    dataset = CropDataset(items, normalization=Normalization(), cache_bytes=0)  # every crop from the source
    found = []
    for epoch in range(2):
        found += [batch["image"].numpy() for batch in batches(dataset, batch=4, epoch=epoch, threads=threads)]
    return found


@pytest.mark.parametrize("threads", [1, 3])
def test_the_second_epoch_of_crops_makes_no_request(server: Served, threads: int) -> None:
    segment = open_segment(f"{server.url}/seg.zarr")
    first = read_all(segment, threads)
    assert max(count for path, count in server.requests.items() if "/c/" in path) == 1
    server.forget()
    local = open_segment(server.folder / "seg.zarr")
    for remote, again, expected in zip(first, read_all(segment, threads), read_all(local, threads), strict=True):
        np.testing.assert_array_equal(remote, expected)
        np.testing.assert_array_equal(again, expected)
    assert not server.log


@pytest.mark.usefixtures("same_threads")
def test_training_asks_for_everything_once_and_a_second_process_for_nothing(server: Served, tmp_path: Path) -> None:
    url = f"{server.url}/seg.zarr"
    asked = []
    chosen = settings.Finetune(segments=(url,), out=str(tmp_path / "run"), **SMALL)
    for event in finetune(chosen):
        if isinstance(event, Scored):
            asked.append(len(server.log))
    assert len(asked) == 2
    assert asked[0] == asked[1] == len(server.log)  # the second epoch asks for nothing
    assert {path: count for path, count in server.requests.items() if count > 2} == {}
    server.forget()

    code = (
        "import sys; from volumen.sources.remote import mirror; mirror.TRUST = 1e9\n"
        "from volumen.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["predict", str(tmp_path / "run"), url, "--out", str(tmp_path / "remote.zarr"), "--device", "cpu"]
    program, one_thread = [sys.executable, "-c", code, *words, "--tile", "96"], {**os.environ, "OMP_NUM_THREADS": "1"}
    done = run_process(program, capture_output=True, check=False, env=one_thread, text=True)
    assert done.returncode == 0, done.stderr
    assert not server.log

    local = settings.Predict(
        checkpoint=str(tmp_path / "run"),
        segment=str(server.folder / "seg.zarr"),
        out=str(tmp_path / "local.zarr"),
        device="cpu",
        tile=96,
    )
    result(predict(local))
    np.testing.assert_array_equal(
        *(open_map(tmp_path / name).pyramid.levels[0][:] for name in ("remote.zarr", "local.zarr"))
    )


def test_check_says_where_the_cache_lies(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLUMEN_CACHE", str(tmp_path / "kept"))
    chosen = settings.Check(path=f"{server.url}/seg.zarr", window=64, layers=8)
    notes = " ".join(result(check(chosen))["notes"])
    assert str(tmp_path / "kept") in notes
    assert "20 GB" in notes
    monkeypatch.setenv("VOLUMEN_CACHE_GB", "0")
    assert "The cache is off" in " ".join(result(check(chosen))["notes"])
    local = settings.Check(path=str(server.folder / "seg.zarr"), window=64, layers=8)
    assert "ache" not in " ".join(result(check(local))["notes"])
