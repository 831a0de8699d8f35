"""What a prediction costs against the area of the segment: seconds per megapixel, and the largest memory.

Run ``python benchmarks/area.py``; it needs a machine with nothing else to do, and hours where the larger sides are
measured whole: ``--megapixels`` limits how much of each segment is. What was measured already is not measured again
(``--folder`` keeps it), so a run that was stopped goes on. The volume is one phantom of 2048 px a side, seen
again and again in both directions: its chunks are read and decoded for every tile as those of a large segment would be.
A segment that is predicted in seconds is predicted before and after every larger one, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from prediction import LAYERS, NORMALIZATION, peak_mb, prepare
from record import RESULTS, record
from volumen.allocator import tune_allocator
from volumen.events import result
from volumen.models.fuse import fuse_norms
from volumen.models.unet import build_unet
from volumen.prediction.cells import cell_size
from volumen.prediction.forward import Forward
from volumen.prediction.plan import TilePlan
from volumen.prediction.tiles import predict_tiles
from volumen.settings import Predict
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import create_map
from volumen.windows import Window, grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from volumen.sources.segment import Segment

SIDES = "2048,4096,8192,14336,20480"
PHANTOM = 2048  # px, side of what is repeated
ENOUGH = 150  # Mpx; smaller segments are predicted again and again
TILE, OVERLAP = (int(Predict.model_fields[name].default) for name in ("tile", "overlap"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sides", default=SIDES, help="sides of the segments in pixels")
    parser.add_argument("--megapixels", type=float, help="most that is predicted of a segment, in full-width bands")
    parser.add_argument("--folder", type=Path, help="keep data, weights and what is measured here, and go on with them")
    parser.add_argument("--out", type=Path, default=RESULTS / "area.md", help="where to write the table")
    parser.add_argument("--run", type=int, help="measure one side in this process and print its numbers")
    options = parser.parse_args()
    if options.run:
        print(json.dumps(measure(options.run, options.folder, options.megapixels)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        prepare(folder, PHANTOM)
        sides = [int(side) for side in options.sides.split(",")]
        runs: dict[int, list[dict[str, Any]]] = {side: [] for side in sides}
        for side in turns(sides):
            runs[side].append(measured(side, len(runs[side]), folder, options.megapixels))
        rows = [{name: statistics.median(run[name] for run in found) for name in found[0]} for found in runs.values()]
    first = rows[0]["seconds_per_megapixel"]
    lines = ["| side, px | measured, Mpx | s/Mpx | of the first | peak memory, MB |", "|---|---|---|---|---|"]
    for row in rows:
        ratio = row["seconds_per_megapixel"] / first
        lines.append(
            f"| {row['side']} | {row['megapixels']:.0f} of {row['side'] ** 2 / 1e6:.0f} "
            f"| {row['seconds_per_megapixel']:.3f} | {ratio:.3f} | {row['peak_mb']:.0f} |"
        )
    page = (
        f"# Cost against area\n\n{LAYERS} layers, ResNet-18 U-Net, tiles of {TILE} px that share {OVERLAP}, "
        f"{torch.get_num_threads()} threads; each side in a fresh process, whose whole peak memory is given. Written "
        "by `benchmarks/area.py`, which says what is measured.\n\n" + "\n".join(lines) + "\n"
    )
    ratios = {f"{row['side']} px, speed of the first": first / row["seconds_per_megapixel"] for row in rows[1:]}
    record(options.out, page, ratios=ratios, numbers=rows)


def turns(sides: Sequence[int]) -> list[int]:
    """Return which side is measured when: the small ones before every large one, and at last."""
    small = [side for side in sides if side**2 / 1e6 < ENOUGH]
    large = [side for side in sides if side not in small]
    return [each for side in large for each in (*small, side)] + small


def measured(side: int, turn: int, folder: Path, megapixels: float | None) -> dict[str, Any]:
    """Return what was measured before, or what is measured now, in a fresh process."""
    kept = folder / f"area-{side}-{megapixels or 'whole'}-{turn}.json"
    if not kept.exists():
        command = [sys.executable, __file__, "--run", str(side), "--folder", str(folder)]
        command += [] if megapixels is None else ["--megapixels", str(megapixels)]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(told.strip(), file=sys.stderr)
        kept.write_text(told)
    return dict(json.loads(kept.read_text()))


def measure(side: int, folder: Path, megapixels: float | None) -> dict[str, Any]:
    """Predict a segment, or full-width bands from its top, in this process."""
    tune_allocator()
    network = build_unet("resnet18", in_channels=LAYERS)
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    forward = Forward(fuse_norms(network), normalization=NORMALIZATION)
    segment = open_segment(str(folder / "volume.zarr"))
    rows = side if megapixels is None else min(side, max(TILE, round(megapixels * 1e6 / side)))
    region = Window((0, LAYERS), (0, rows), (0, side))
    plan = TilePlan(volume=(LAYERS, side, side), region=region, tile=TILE, overlap=OVERLAP)
    forward(np.zeros((1, *plan.shape), np.uint8))  # warm
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        output = create_map(Path(scratch, "map.zarr"), shape=(side, side), settings=plan.to_dict())
        begun = time.perf_counter()
        cell = cell_size(segment.levels[0].chunks[-2:])
        events = predict_tiles(forward, lambda window: repeated(segment, window), plan=plan, output=output, cell=cell)
        result(events)
        seconds = time.perf_counter() - begun
    area = rows * side / 1e6
    return {
        "side": side,
        "megapixels": area,
        "seconds_per_megapixel": seconds / area,
        "computed": plan.computed,
        "peak_mb": peak_mb(),
    }


def repeated(segment: Segment, window: Window) -> NDArray[Any]:
    """Read a window of the phantom repeated in Y and X for ever."""
    out = np.empty(window.shape, segment.dtype)
    top, left = window.y[0] // PHANTOM * PHANTOM, window.x[0] // PHANTOM * PHANTOM
    for whole in grid(Window(window.z, (top, window.y[1]), (left, window.x[1])), PHANTOM, PHANTOM):
        part = whole & window
        if not part.empty:
            out[part.inside(window).zyx] = segment.read(part.inside(Window((0, LAYERS), whole.y, whole.x)))
    return out


if __name__ == "__main__":
    main()
