"""How much faster an ink map is predicted by two processes of one thread each than by one.

Run ``python benchmarks/scaling.py``; it needs the ``distributed`` extra and a machine with nothing else to do. It makes
a phantom, trains a ResNet-18 U-Net on it a little, and predicts with 1, 2, … local workers in turn. Every run is a
fresh process; its clock starts when all workers have loaded the model, since that is paid once, however large the
segment. One worker is measured as workers are, also over dask, so that the ratio is that of sharing alone; "alone" is
the usual path without any, at one thread.

What the machine itself allows is measured in turn with that: so many processes that do nothing but run the network,
at one thread each, on tiles of the same shape.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prediction import LAYERS, NORMALIZATION, prepare
from record import RESULTS, record
from volumen.allocator import tune_allocator
from volumen.cluster import Cluster, open_cluster
from volumen.events import result
from volumen.models.fuse import fuse_norms
from volumen.models.unet import build_unet
from volumen.prediction.cells import cell_size
from volumen.prediction.cluster import predict_on_cluster
from volumen.prediction.forward import Forward
from volumen.prediction.plan import TilePlan
from volumen.prediction.stream import Opened
from volumen.prediction.tiles import predict_tiles
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import create_map


@dataclass(frozen=True)
class Work:
    """Opens the network and the phantom of a folder, once in a process."""

    folder: str

    def __call__(self) -> Opened:
        """Return what is open, or open it."""
        return _opened(self.folder)


@lru_cache(maxsize=1)
def _opened(folder: str) -> Opened:
    torch.set_num_threads(1)
    network = build_unet("resnet18", in_channels=LAYERS)
    network.load_state_dict(torch.load(Path(folder, "weights.pt"), weights_only=True))
    segment = open_segment(str(Path(folder, "volume.zarr")))
    cell = cell_size(segment.levels[0].chunks[-2:])
    return Opened(Forward(fuse_norms(network), normalization=NORMALIZATION), segment.read, cell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=4096, help="side of the image in pixels")
    parser.add_argument("--tile", type=int, default=512, help="largest side of a tile: enough of them for all workers")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="numbers of workers; 0 is none, alone")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each")
    parser.add_argument("--folder", type=Path, help="keep data and weights here, and use them again")
    parser.add_argument("--out", type=Path, default=RESULTS / "scaling.md", help="where to write the table")
    parser.add_argument("--run", type=int, help="run once with so many workers and print the seconds")
    parser.add_argument("--bare", type=int, help="run the bare network in so many processes and print tiles per second")
    options = parser.parse_args()
    if options.run is not None:
        print(run(options.run, options.folder, options.tile))
        return
    if options.bare is not None:
        print(bare(options.bare, options.folder, options.tile))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        prepare(folder, options.size)
        seconds: dict[int, list[float]] = {count: [] for count in options.workers}
        rates: dict[int, list[float]] = {count: [] for count in options.workers if count}
        for _ in range(options.repeats):
            for found, way in ((seconds, "--run"), (rates, "--bare")):
                for count, each in found.items():
                    command = [sys.executable, __file__, way, str(count), "--folder", str(folder)]
                    command += ["--tile", str(options.tile)]
                    told = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                    each.append(float(told.split()[-1]))
                    print(way, count, each[-1], file=sys.stderr)
    medians = {count: statistics.median(found) for count, found in seconds.items()}
    limits = {count: statistics.median(found) for count, found in rates.items()}
    first, slowest = medians.get(1, next(iter(medians.values()))), limits.get(1, next(iter(limits.values()), 1.0))
    rows = [
        {
            "workers": count,
            "seconds": median,
            "megapixels_per_second": options.size**2 / 1e6 / median,
            "of_one": first / median,
            "bare_of_one": limits[count] / slowest if count else None,
        }
        for count, median in medians.items()
    ]
    lines = [
        "| workers of one thread | s | Mpx/s | times one worker | bare network, times one |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        name, limit = row["workers"] or "none, alone", f"{row['bare_of_one']:.2f}" if row["bare_of_one"] else "–"
        rate = row["megapixels_per_second"]
        lines.append(f"| {name} | {row['seconds']:.1f} | {rate:.3f} | {row['of_one']:.2f} | {limit} |")
    page = (
        f"# Scaling over workers\n\n{LAYERS} x {options.size} x {options.size} voxels, ResNet-18 U-Net, tiles of "
        f"{options.tile} px; medians of {options.repeats} interleaved runs, each in fresh processes. Written by "
        "`benchmarks/scaling.py`, which says what is measured.\n\n" + "\n".join(lines) + "\n"
    )
    ratios = {f"{row['workers']} workers, times one": row["of_one"] for row in rows if row["workers"] > 1}
    ratios |= {
        f"{row['workers']} workers, of what the bare network gains": row["of_one"] / row["bare_of_one"]
        for row in rows
        if row["workers"] > 1
    }
    record(options.out, page, ratios=ratios, numbers=rows)


def run(workers: int, folder: Path, tile: int) -> float:
    """Predict once; return the seconds."""
    from scaling import Work  # by its module's name, which workers can import

    tune_allocator()
    folder = folder.absolute()
    segment = open_segment(str(folder / "volume.zarr"))
    plan = TilePlan(volume=segment.shape, region=segment.window, tile=tile, overlap=64)
    work = Work(str(folder))
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        open_cluster(None, workers or None, needs=["volumen.models.unet"]) as cluster,
    ):
        output = create_map(Path(scratch, "map.zarr"), shape=segment.shape[1:], settings=plan.to_dict())
        if cluster is None:
            opened = work()
            begun = time.perf_counter()
            result(predict_tiles(opened.model, opened.read, plan=plan, output=output, cell=opened.cell))
        else:
            list(cluster.arrive())
            warm(cluster, work, workers)
            begun = time.perf_counter()
            result(predict_on_cluster(cluster, work, plan=plan, output=output))
        return time.perf_counter() - begun


def bare(processes: int, folder: Path, tile: int) -> float:
    """Run the network alone in several processes at once; return the tiles that all computed in a second."""
    segment = open_segment(str(folder / "volume.zarr"))
    plan = TilePlan(volume=segment.shape, region=segment.window, tile=tile, overlap=64)
    each = max(1, len(plan.tiles) // processes)
    context = multiprocessing.get_context("spawn")
    together, took = context.Barrier(processes), context.SimpleQueue()
    started = [
        context.Process(target=_forwards, args=(str(folder), plan.shape, each, together, took))
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    slowest = max(took.get() for _ in started)
    for process in started:
        process.join()
    return processes * each / slowest


def _forwards(folder: str, shape: tuple[int, int, int], count: int, together: Any, took: Any) -> None:
    tune_allocator()
    forward, voxels = _opened(folder).model, np.zeros((1, *shape), np.uint8)
    forward(voxels)  # warm
    together.wait()
    begun = time.perf_counter()
    for _ in range(count):
        forward(voxels)
    took.put(time.perf_counter() - begun)


def warm(cluster: Cluster, work: Work, workers: int) -> None:
    """Have every worker open its model before the clock starts."""
    cluster.client.wait_for_workers(workers)
    cluster.client.run(lambda: work() is not None)


if __name__ == "__main__":
    main()
