"""What killing workers costs a prediction: kill -9 every few seconds of one of them, and whether the map is the same.

Run ``python benchmarks/killed_workers.py``; it needs the ``distributed`` extra. It makes the phantom and the weights of
``benchmarks/scaling.py``, predicts with two workers of one thread in peace, and then again while one of them, in turn,
is killed at every interval. A worker that was killed is started anew and opens its model before it does anything, and
what it was at is done again; killed faster than that takes, none would get anything done.
"""

from __future__ import annotations

import argparse
import filecmp
import itertools
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from prediction import LAYERS, prepare
from record import RESULTS, record
from scaling import Work
from volumen.allocator import tune_allocator
from volumen.cluster import Cluster, open_cluster
from volumen.events import result
from volumen.prediction.cluster import predict_on_cluster
from volumen.prediction.plan import TilePlan
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import create_map

WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=4096, help="side of the image in pixels")
    parser.add_argument("--tile", type=int, default=512, help="largest side of a tile")
    parser.add_argument("--every", type=float, nargs="*", default=[10.0, 5.0, 2.5], help="seconds between kills")
    parser.add_argument("--folder", type=Path, help="keep data and weights here, and use them again")
    parser.add_argument("--out", type=Path, default=RESULTS / "killed_workers.md", help="where to write the table")
    options = parser.parse_args()
    tune_allocator()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).absolute()
        prepare(folder, options.size)
        rows = []
        with tempfile.TemporaryDirectory(dir=folder) as maps:
            for every in (None, *options.every):
                path = Path(maps, str(every), "map.zarr")
                rows.append(predict(folder, path, options.tile, every))
                rows[-1]["same"] = same(Path(maps, str(None), path.name), path)
                print(rows[-1], file=sys.stderr)
    lines = ["| a worker is killed | kills | s | the map is the same |", "|---|---|---|---|"]
    lines += [
        f"| {'every {:g} s'.format(row['every']) if row['every'] else 'never'} | {row['kills']} | {row['seconds']:.0f} "
        f"| {'yes' if row['same'] else 'NO'} |"
        for row in rows
    ]
    page = (
        f"# Workers that are killed\n\n{LAYERS} x {options.size} x {options.size} voxels, ResNet-18 U-Net, tiles of "
        f"{options.tile} px, {WORKERS} workers of one thread; `kill -9` of one of them, in turn. Written by "
        "`benchmarks/killed_workers.py`, which says what is measured.\n\n" + "\n".join(lines) + "\n"
    )
    calm = rows[0]["seconds"]
    ratios = {f"killed every {row['every']:g} s, speed of never": calm / row["seconds"] for row in rows[1:]}
    record(options.out, page, ratios=ratios, numbers=rows)
    if not all(row["same"] for row in rows):
        sys.exit("A map differs.")


def predict(folder: Path, path: Path, tile: int, every: float | None) -> dict[str, Any]:
    """Predict once; return the seconds and how many workers were killed."""
    segment = open_segment(str(folder / "volume.zarr"))
    plan = TilePlan(volume=segment.shape, region=segment.window, tile=tile, overlap=64)
    output = create_map(path, shape=segment.shape[1:], settings=plan.to_dict())
    ended, kills = threading.Event(), list[int]()
    with open_cluster(None, WORKERS, needs=["volumen.models.unet", "volumen.sources.open"]) as cluster:
        assert cluster is not None
        list(cluster.arrive())
        begun = time.perf_counter()
        killer = threading.Thread(target=kill, args=(cluster, every, ended, kills))
        if every is not None:
            killer.start()
        result(predict_on_cluster(cluster, Work(str(folder)), plan=plan, output=output))
        seconds = time.perf_counter() - begun
        ended.set()
        if every is not None:
            killer.join()
    return {"every": every, "kills": len(kills), "seconds": seconds}


def kill(cluster: Cluster, every: float, ended: threading.Event, kills: list[int]) -> None:
    """Kill the workers in turn; one that is not there yet is passed over."""
    for turn in itertools.count():
        if ended.wait(every):
            return
        processes = {worker.name: worker.process.pid for worker in cluster.client.cluster.workers.values()}
        found = processes.get(turn % WORKERS)
        if found:
            os.kill(found, signal.SIGKILL)
            kills.append(found)


def same(one: Path, other: Path) -> bool:
    """Say whether two maps have the same files with the same bytes."""
    names = [sorted(str(path.relative_to(each)) for path in each.rglob("*") if path.is_file()) for each in (one, other)]
    return names[0] == names[1] and filecmp.cmpfiles(one, other, names[0], shallow=False)[1:] == ([], [])


if __name__ == "__main__":
    import killed_workers  # by its module's name, since workers import it

    killed_workers.main()
