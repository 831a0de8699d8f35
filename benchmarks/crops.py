"""Does reading starve the model? Crops per second of the batches, against a forward and backward pass.

Run ``python benchmarks/crops.py``. It makes a phantom, cuts crops of 20 × 320 × 320 voxels from its zarr store, with
and without the Grand Prize views to 224 × 224, and trains a ResNet-18 U-Net on 20 × 224 × 224. Contenders take
turns; medians are printed. "First epoch" decodes every block, later ones find them in the cache. "Overlapped" is a
training step while the next batches are made in a thread, as `fit` does it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from record import RESULTS, record
from volumen.crops.batches import batches
from volumen.crops.datasets import CropDataset, Item
from volumen.crops.normalize import Normalization
from volumen.crops.split import split_segment
from volumen.events import result
from volumen.models.unet import build_unet
from volumen.objectives.segmentation import BceDice
from volumen.settings import Phantom
from volumen.sources.open import open_segment
from volumen.sources.synthetic.phantom import make_phantom
from volumen.views.pipelines import pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Batches = Iterator[dict[str, Tensor]]

BATCH, SIZE, INPUT = 4, 320, 224
FIRST, LATER = "batches, first epoch, no views", "batches, later epoch, no views"
VIEWED, MODEL, OVERLAPPED = "batches, later epoch, Grand Prize views", "forward and backward alone", "overlapped"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1600, help="side of the phantom in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="training steps a turn")
    parser.add_argument("--out", type=Path, default=RESULTS / "crops.md", help="where to write the table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "phantom.zarr")
        result(make_phantom(Phantom(out=store, size=(arguments.side, arguments.side), layers=32)))
        segment = open_segment(store)
        split = split_segment(segment, layers=20, size=SIZE, stride=SIZE // 2, sampling="mask")
        items = [(segment, window) for window in split.train]
        rows = measure(items, repeats=arguments.repeats, steps=arguments.steps)
    medians = {name: statistics.median(rates) for name, rates in rows.items()}
    table = "\n".join(f"| {name} | {rate:.1f} |" for name, rate in medians.items())
    record(
        arguments.out,
        f"# Crops\n\n{__doc__.partition(chr(10) * 2)[2].strip()}\n\n"
        f"{len(items)} crops, {torch.get_num_threads()} threads, medians of {arguments.repeats}.\n\n"
        f"| what | crops/s |\n|---|---|\n{table}\n",
        ratios={
            "later epoch / first": medians[LATER] / medians[FIRST],
            "Grand Prize views / model": medians[VIEWED] / medians[MODEL],
            "overlapped / model": medians[OVERLAPPED] / medians[MODEL],
        },
        numbers=[{"name": name, "crops_per_second": rate} for name, rate in medians.items()],
    )


def measure(items: list[Item], *, repeats: int, steps: int) -> dict[str, list[float]]:
    model = build_unet("resnet18", 20).to(memory_format=torch.channels_last).train()
    train = trainer(model)
    rows: dict[str, list[float]] = {}
    for _ in range(repeats):
        view = pipeline("grand_prize", size=INPUT, resized_crop=True)
        plain, viewed = dataset_of(items, None), dataset_of(items, view)
        note = rows.setdefault
        note(FIRST, []).append(rate(plain, 0))
        note(LATER, []).append(rate(plain, 1))
        rate(viewed, 0)
        note(VIEWED, []).append(rate(viewed, 1))
        ready = list(islice(batches(viewed, epoch=2, batch=BATCH), steps))
        note(MODEL, []).append(timed(lambda ready=ready: train(iter(ready)), steps * BATCH))
        making = batches(viewed, epoch=3, batch=BATCH)
        train(islice(making, 1))
        note(OVERLAPPED, []).append(timed(lambda making=making: train(islice(making, steps)), steps * BATCH))
        making.close()
    return rows


def dataset_of(items: list[Item], view: object) -> CropDataset:
    return CropDataset(items, normalization=Normalization(), view=view)


def trainer(model: torch.nn.Module) -> Callable[[Batches], None]:
    loss, optimizer = BceDice(), torch.optim.AdamW(model.parameters(), lr=1e-5)

    def train(ready: Batches) -> None:
        for batch in ready:
            optimizer.zero_grad(set_to_none=True)
            loss(model(batch["image"]), batch["ink"], batch["supervision"]).total.backward()
            optimizer.step()

    return train


def rate(dataset: CropDataset, epoch: int) -> float:
    return timed(lambda: deque(batches(dataset, epoch=epoch, batch=BATCH), maxlen=0), len(dataset))


def timed(work: Callable[[], object], crops: int) -> float:
    begun = time.perf_counter()
    work()
    return crops / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
