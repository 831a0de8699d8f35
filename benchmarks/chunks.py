"""Chunk shape and codec of converted volumes: reading training crops against viewing a layer.

Every store holds the same volume. In each round every store is read once for each purpose, in turn, so that a busy
machine slows all of them alike; ratios are taken within a round, against the default of `volumen convert`, and the
table shows their medians.

    python benchmarks/chunks.py                     # as recorded in benchmarks/results/chunks.md
    python benchmarks/chunks.py --side 1024 --rounds 2 --crops 4 --out /tmp/chunks.md
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr

from record import RESULTS, cores, record
from volumen.settings import Convert
from volumen.sources.open import open_segment
from volumen.sources.pyramids.pyramid import create_pyramid
from volumen.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from volumen.sources.segment import Segment

CROP = (20, 320, 320)
SCREEN = (1080, 1920)
SHAPES = ((1, 512, 512), (8, 256, 256), (16, 128, 128), (16, 256, 256), (32, 128, 128), (65, 128, 128), (65, 256, 256))
CODECS = ("zstd", "lz4", "none")
WORK = ("crop_seconds", "layer_seconds", "coarse_layer_seconds")
_SHOWN = ("crops", "layer", "layer at level 2")
Store = tuple[tuple[int, ...], str]
Times = list[list[float]]

DEFAULT = (Convert.model_fields["chunk"].default, Convert.model_fields["compression"].default)


def papyrus(layers: int, side: int) -> np.ndarray:
    """Make voxels that compress about as scans do: smooth structure under noise of the scanner, ZYX uint8."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 30, (layers, side // 16 + 2, side // 16 + 2)).astype(np.float32)
    volume = np.empty((layers, side, side), dtype=np.uint8)
    for z in range(layers):
        smooth = np.kron(coarse[z], np.ones((16, 16), dtype=np.float32))[:side, :side]
        volume[z] = np.clip(110 + smooth + rng.normal(0, 6, (side, side)), 0, 255)
    return volume


def write_stores(folder: Path, volume: np.ndarray) -> dict[Store, Segment]:
    stores = {}
    for shape in SHAPES:
        for codec in CODECS:
            path = folder / f"{'x'.join(map(str, shape))}-{codec}.zarr"
            chunks = tuple(map(min, shape, volume.shape))
            pyramid = create_pyramid(
                path, shape=volume.shape, dtype="uint8", chunks=chunks, levels=3, compression=codec
            )
            pyramid.write(Window.whole(pyramid.volume), volume)
            stores[shape, codec] = open_segment(path)
    return stores


def crops(segment: Segment, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth, height, width = segment.shape
    first = (depth - CROP[0]) // 2
    for _ in range(count):
        y, x = int(rng.integers(0, height - CROP[1] + 1)), int(rng.integers(0, width - CROP[2] + 1))
        segment.read(Window((first, first + CROP[0]), (y, y + CROP[1]), (x, x + CROP[2])))


def view(segment: Segment, level: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth, height, width = segment.levels[level].shape
    rows, columns = min(SCREEN[0], height), min(SCREEN[1], width)
    z = int(rng.integers(0, depth))
    y, x = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    segment.read(Window((z, z + 1), (y, y + rows), (x, x + columns)), level)


def seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def measure(stores: dict[Store, Segment], count: int, rounds: int) -> dict[Store, Times]:
    """Return, by store, [crop, view at level 0, view at the coarsest level] in seconds, a round each."""
    taken: dict[Store, Times] = {store: [] for store in stores}
    for seed in range(rounds + 1):
        for store, segment in stores.items():
            times = [
                seconds(lambda segment=segment, seed=seed: crops(segment, count, seed)) / count,
                seconds(lambda segment=segment, seed=seed: view(segment, 0, seed)),
                seconds(lambda segment=segment, seed=seed: view(segment, 2, seed)),
            ]
            if seed:  # the first round fills the page cache
                taken[store].append(times)
    return taken


def tell(folder: Path, taken: dict[Store, Times], chosen: argparse.Namespace) -> None:
    """Write the table of what was taken."""
    layers, side, rounds = chosen.layers, chosen.side, chosen.rounds
    numbers, others = [], {}
    lines = [
        f"Volume {layers} × {side} × {side} uint8; crops {'×'.join(map(str, CROP))} over all centre layers, screen "
        f"{SCREEN[0]}×{SCREEN[1]} px of one layer, at full size and at level 2. Medians of {rounds} "
        f"interleaved rounds; “×” is the speed against {'×'.join(map(str, DEFAULT[0]))} {DEFAULT[1]}, the default, in "
        f"the same round. {cores()} cores, Python {platform.python_version()}, zarr {zarr.__version__}; files in the "
        "page cache.",
        "",
        "| chunk | codec | size, % | crops/s | × | layer, ms | × | layer at level 2, ms | × |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    base = taken[DEFAULT]
    for (shape, codec), rounds_taken in taken.items():
        path = folder / f"{'x'.join(map(str, shape))}-{codec}.zarr"
        stored = sum(file.stat().st_size for file in (path / "0").rglob("*") if file.is_file())
        medians = [statistics.median(times) for times in zip(*rounds_taken, strict=True)]
        ratios = [statistics.median(b[k] / t[k] for b, t in zip(base, rounds_taken, strict=True)) for k in range(3)]
        lines.append(
            f"| {'×'.join(map(str, shape))} | {codec} | {100 * stored / (layers * side * side):.0f} "
            f"| {1 / medians[0]:.0f} | {ratios[0]:.2f} | {1e3 * medians[1]:.0f} | {ratios[1]:.2f} "
            f"| {1e3 * medians[2]:.0f} | {ratios[2]:.2f} |"
        )
        numbers.append({"chunk": shape, "codec": codec, **dict(zip(WORK, medians, strict=True)), "bytes": stored})
        if (shape == DEFAULT[0]) != (codec == DEFAULT[1]):  # what differs from the default in one thing
            name = f"default against {'×'.join(map(str, shape))} {codec}"
            others |= {f"{what}, {name}": 1 / ratio for what, ratio in zip(_SHOWN, ratios, strict=True)}
    page = "# Chunk shape and codec of converted volumes\n\n" + "\n".join(lines) + "\n"
    record(chosen.out, page, ratios=others, numbers=numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare chunk shapes and codecs of converted volumes.")
    parser.add_argument("--layers", type=int, default=65)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--crops", type=int, default=30, help="crops a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS / "chunks.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = write_stores(Path(folder), papyrus(chosen.layers, chosen.side))
        taken = measure(stores, chosen.crops, chosen.rounds)
        tell(Path(folder), taken, chosen)


if __name__ == "__main__":
    main()
