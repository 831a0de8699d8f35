"""How fast an ink map is predicted, against MONAI's sliding window and against the bare network on the same tiles.

Run ``python benchmarks/prediction.py``; it needs the ``bench`` extra and a machine with nothing else to do. It makes
a phantom, trains a ResNet-18 U-Net on it a little so that its logits are not trivial, and predicts with it in one
pass over the whole image, which is the truth for the errors. Every run of a contender is a fresh process, as the
allocator's setting lasts as long as a process; contenders take turns. Each reads voxels from zarr and writes a map.

Forward limit: the same number of tiles of the same shape through the same network, half of them before and half
after the prediction, in the same process.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from record import RESULTS, record
from volumen.allocator import tune_allocator
from volumen.crops.normalize import Normalization
from volumen.events import result
from volumen.models.fuse import fuse_norms
from volumen.models.unet import build_unet
from volumen.prediction.cells import cell_size
from volumen.prediction.forward import Forward
from volumen.prediction.plan import TilePlan
from volumen.prediction.tiles import predict_tiles
from volumen.settings import Phantom, Predict
from volumen.sources.open import open_segment
from volumen.sources.pyramids.probability_map import create_map
from volumen.sources.synthetic.phantom import make_phantom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from volumen.models.unet import Unet

LAYERS = 20
NORMALIZATION = Normalization(kind="clip", ceiling=200 / 255)
DEFAULTS = {name: Predict.model_fields[name].default for name in ("tile", "overlap", "batch")}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to predict: whose, with which tiles, and with a network that is tuned or not."""

    by: str
    tile: int
    overlap: int
    tuned: bool
    tiling: str = "blend"
    mode: str = "constant"

    @property
    def label(self) -> str:
        """First two cells of its row."""
        share = f"{self.tile} px, {self.overlap} px ({self.overlap / self.tile:.0%})"
        how = self.tiling if self.by == "volumen" else f"{self.mode}, {'tuned' if self.tuned else 'plain'} network"
        return f"{self.by}, {how} | {share}"


CONTENDERS = {
    "monai-default": Contender(by="MONAI", tile=256, overlap=128, tuned=False),
    "monai-tuned": Contender(by="MONAI", tile=256, overlap=128, tuned=True),
    "monai-gaussian": Contender(by="MONAI", tile=256, overlap=128, tuned=False, mode="gaussian"),
    "monai-64": Contender(by="MONAI", tile=256, overlap=64, tuned=False),
    "monai-ours": Contender(by="MONAI", tile=DEFAULTS["tile"], overlap=DEFAULTS["overlap"], tuned=False),
    "default": Contender(by="volumen", tile=DEFAULTS["tile"], overlap=DEFAULTS["overlap"], tuned=True),
    "halo": Contender(by="volumen", tile=DEFAULTS["tile"], overlap=DEFAULTS["overlap"], tuned=True, tiling="halo"),
    "half": Contender(by="volumen", tile=256, overlap=128, tuned=True),
    "quarter": Contender(by="volumen", tile=256, overlap=64, tuned=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=2048, help="side of the image in pixels")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contender")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS), help="contenders to run")
    parser.add_argument("--folder", type=Path, help="keep data and weights here, and use them again")
    parser.add_argument("--out", type=Path, default=RESULTS / "prediction.md", help="where to write the table")
    parser.add_argument("--run", choices=CONTENDERS, help="run one contender once and print its numbers as JSON")
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(CONTENDERS[options.run], options.folder)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        prepare(folder, options.size)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in options.only}
        for _ in range(options.repeats):
            for name in options.only:
                command = [sys.executable, __file__, "--run", name, "--folder", str(folder)]
                runs[name].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
                print(name, runs[name][-1], file=sys.stderr)
    medians = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]} for name, found in runs.items()
    }
    table = "\n".join(rows(medians))
    text = (
        f"# Prediction\n\n{LAYERS} x {options.size} x {options.size} voxels, ResNet-18 U-Net, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}; medians of {options.repeats} interleaved runs, "
        "each in a fresh process. Written by `benchmarks/prediction.py`, which says what is measured.\n\n"
        f"{table}\n"
    )
    first, rate = next(iter(medians)), next(iter(medians.values()))["rate"]
    ratios = {f"rate, {name} / {first}": found["rate"] / rate for name, found in medians.items() if name != first}
    ratios |= {f"of the forward limit, {name}": found["of_limit"] for name, found in medians.items()}
    record(options.out, text, ratios=ratios, numbers=[{"name": name, **found} for name, found in medians.items()])


def rows(medians: dict[str, dict[str, float]]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield (
        "| way | tile, overlap | pixels computed per pixel | Mpx/s | of the first | of its forward limit "
        "| error, mean | error, 99.9 % | memory beyond the network alone, MB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    first = next(iter(medians.values()))["rate"]
    for name, median in medians.items():
        yield (
            f"| {CONTENDERS[name].label} | {median['computed']:.2f} | {median['rate'] / 1e6:.3f} "
            f"| {median['rate'] / first:.2f} | {median['of_limit']:.3f} | {median['mean']:.1e} | {median['tail']:.1e} "
            f"| {median['memory']:.0f} |"
        )


def prepare(folder: Path, size: int) -> None:
    """Make the volume, the weights and the one-pass truth, where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "truth.npy").exists():
        return
    result(make_phantom(Phantom(out=str(folder / "volume.zarr"), size=(size, size), layers=LAYERS, overwrite=True)))
    network = train(folder / "volume.zarr")
    torch.save(network.state_dict(), folder / "weights.pt")
    forward = Forward(network, normalization=NORMALIZATION)
    segment = open_segment(str(folder / "volume.zarr"))
    np.save(
        folder / "truth.npy",
        forward(segment.read(segment.window)[None])[0],
    )


def train(path: Path, steps: int = 120, batch: int = 4, side: int = 160) -> Unet:
    """Train a little: enough that norms have statistics and logits have opinions."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    segment = open_segment(str(path))
    volume = NORMALIZATION(segment.read(segment.window))
    ink = segment.raster("ink").read(segment.window)
    network = build_unet("resnet18", in_channels=LAYERS).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        corners = rng.integers(0, np.array(ink.shape) - side + 1, (batch, 2))
        boxes = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
        voxels = torch.from_numpy(np.stack([volume[:, *box] for box in boxes]))
        target = torch.from_numpy(np.stack([ink[box] for box in boxes]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(voxels)[:, 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def run(contender: Contender, folder: Path) -> dict[str, float]:
    """Run one contender once, in this process."""
    if contender.tuned:
        tune_allocator()
    network = build_unet("resnet18", in_channels=LAYERS)
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    network = fuse_norms(network).to(memory_format=torch.channels_last) if contender.tuned else network.eval()
    truth = np.load(folder / "truth.npy")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        way = with_volumen if contender.by == "volumen" else with_monai
        numbers, written = way(contender, network, folder / "volume.zarr", Path(scratch))
    error = np.abs(written / np.float32(255) - truth)
    numbers["rate"] = truth.size / numbers.pop("seconds")
    # The map has 8 bits: on average it is no nearer to the truth than a quarter of a level, 9.8e-4.
    return {**numbers, "mean": float(error.mean()), "tail": float(np.quantile(error, 0.999))}


def with_volumen(
    contender: Contender, network: torch.nn.Module, source: Path, scratch: Path
) -> tuple[dict[str, float], NDArray[np.uint8]]:
    segment = open_segment(str(source))
    plan = TilePlan(
        volume=segment.shape,
        region=segment.window,
        tile=contender.tile,
        overlap=contender.overlap,
        tiling="halo" if contender.tiling == "halo" else "blend",
    )
    forward = Forward(network, normalization=NORMALIZATION)
    count = len(plan.tiles)
    before = limit(network, plan.shape, math.ceil(count / 2))
    memory = peak_mb()
    begun = time.perf_counter()
    output = create_map(scratch / "map.zarr", shape=segment.shape[1:], settings=plan.to_dict())
    chunks = segment.levels[0].chunks
    events = predict_tiles(
        forward, segment.read, plan=plan, output=output, batch=DEFAULTS["batch"], cell=cell_size(chunks[-2:])
    )
    result(events)
    seconds = time.perf_counter() - begun
    memory = peak_mb() - memory
    bare = before + limit(network, plan.shape, count // 2)
    numbers = {"seconds": seconds, "of_limit": bare / seconds, "computed": plan.computed, "memory": memory}
    return numbers, output.read(output.window)


def with_monai(
    contender: Contender, network: torch.nn.Module, source: Path, scratch: Path
) -> tuple[dict[str, float], NDArray[np.uint8]]:
    from monai.inferers import sliding_window_inference

    segment = open_segment(str(source))
    shape = (LAYERS, contender.tile, contender.tile)
    step = contender.tile - contender.overlap
    count = math.prod(math.ceil((side - contender.tile) / step) + 1 for side in segment.shape[1:])
    before = limit(network, shape, math.ceil(count / 2), contender.tuned)
    memory = peak_mb()
    begun = time.perf_counter()
    output = create_map(scratch / "map.zarr", shape=segment.shape[1:], settings={})
    voxels = torch.from_numpy(NORMALIZATION(segment.read(segment.window)))[None]
    with torch.inference_mode():
        probability = sliding_window_inference(
            voxels,
            shape[1:],
            4,
            lambda tiles: network(tiles).sigmoid(),
            contender.overlap / contender.tile,
            contender.mode,
        )
    levels = (probability[0, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    for block in output.blocks(output.window):
        output.write(block, levels[block.yx])
    output.finish()
    seconds = time.perf_counter() - begun
    memory = peak_mb() - memory
    bare = before + limit(network, shape, count // 2, contender.tuned)
    computed = count * contender.tile**2 / (segment.shape[1] * segment.shape[2])
    numbers = {"seconds": seconds, "of_limit": bare / seconds, "computed": computed, "memory": memory}
    return numbers, levels


def limit(network: torch.nn.Module, shape: tuple[int, ...], count: int, channels_last: bool = True) -> float:
    """Return the seconds that ``count`` tiles take in the network alone, normalised float32 tiles at hand."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    tile = torch.rand(1, *shape).to(memory_format=layout)
    with torch.inference_mode():
        network(tile)
        begun = time.perf_counter()
        for _ in range(count):
            network(tile)
    return time.perf_counter() - begun


def peak_mb() -> float:
    """Return this process's largest resident size so far; `getrusage` would count its parent's before the exec."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
