"""A prediction for processes to share, without torch; and a script to kill: cluster_work.py MAP [--workers N]."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from volumen.cluster import open_cluster
from volumen.events import to_json
from volumen.prediction.cluster import predict_on_cluster
from volumen.prediction.plan import TilePlan
from volumen.prediction.stream import Opened
from volumen.prediction.tiles import predict_tiles
from volumen.sources.pyramids.probability_map import ProbabilityMap, create_map
from volumen.windows import Window

SHAPE = (3, 620, 1100)  # more than one screen wide, so that the map has coarser levels
COUNTED: list[int] = []  # tiles that were computed in this process
_LOCK = Lock()


def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


def plan(**changes: Any) -> TilePlan:
    fields = {"region": Window.whole(SHAPE), "tile": 96, "overlap": 48, "stride": 16, **changes}
    return TilePlan(volume=SHAPE, **fields)


def fresh(path: Path, chosen: TilePlan, **more: Any) -> ProbabilityMap:
    return create_map(path, shape=SHAPE[1:], settings=chosen.to_dict(), block=64, **more)


@dataclass(frozen=True)
class Work:
    """A model whose answer for a pixel differs from tile to tile; it may be slow, wrong, or deadly."""

    pause: float = 0.0
    wrong: bool = False

    def __call__(self) -> Opened:
        source = volume()

        def model(voxels: np.ndarray) -> np.ndarray:
            time.sleep(self.pause)
            with _LOCK:
                COUNTED.append(len(voxels))
            if self.wrong:
                return np.full((len(voxels), *voxels.shape[2:]), 2.0, np.float32)
            middle = voxels[:, 1].astype(np.float32)
            return middle / 511 + middle.mean((1, 2), keepdims=True) / 1021 + 0.1

        return Opened(model, lambda window: source[window.zyx], 100)


def die(item: int) -> int:
    """End the process, as a killed worker ends."""
    os._exit(9)


@dataclass(frozen=True)
class Mortal:
    """Work on an item ends its process the first times, which a folder counts."""

    folder: Path
    times: dict[int, int]

    def __call__(self, item: int) -> int:
        time.sleep(0.1)  # what was finished before is told by then
        deaths = len(list(self.folder.glob(f"{item}-*")))
        if deaths < self.times.get(item, 0):
            (self.folder / f"{item}-{deaths}").touch()
            os._exit(9)
        return -item


def process_id(item: int) -> int:
    return os.getpid()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("map", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--pause", type=float, default=0.0)
    options = parser.parse_args()
    chosen, work = plan(), Work(options.pause)
    output = fresh(options.map, chosen, resume=True)
    with open_cluster(None, options.workers) as cluster:
        if cluster is None:
            opened = work()
            events = predict_tiles(opened.model, opened.read, plan=chosen, output=output, cell=opened.cell)
        else:
            events = predict_on_cluster(cluster, work, plan=chosen, output=output)
        for event in events:
            print(to_json(event), flush=True)


if __name__ == "__main__":
    import cluster_work  # by its name, which workers can import

    cluster_work.main()
