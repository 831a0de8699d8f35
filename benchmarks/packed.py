"""What a step of SparK costs with the encoder packed, as published (masked-dense), and without any mask.

Run ``python benchmarks/packed.py`` on a machine with nothing else to do. ResNet-50, 224 × 224 px, 60 % masked
(20 of 49 patches visible), training mode, forward and backward in float32; the whole step has densify, decoder and
loss too, at the same width for all. Every run of a contender is a fresh process that takes one step to warm up and
the median of the following ones; contenders take turns. Where there is a CUDA device, the same is run there in bf16.

All contenders use channels last in memory and the library's allocator setting. The masked-dense encoder does what
the published one does, a little faster: masks and indices are worked out once a step and not in every layer. The
encoder without a mask computes something else; it is the bound that no masked-dense form can pass. Contenders of a
whole step must find the same loss. Memory is the largest resident size less that before the first step.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from record import RESULTS, record
from volumen.allocator import tune_allocator
from volumen.models.layout import Layout
from volumen.models.packed import encode, pack
from volumen.models.spark import build_spark
from volumen.objectives.reconstruction import Reconstruction
from volumen.views.masking import draw_visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from volumen.models.packed import Packed
    from volumen.models.spark import Spark

SIDE, PATCH = 224, 32
FIRST = "masked-dense"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to take a step: how the encoder runs, on how many channels, and under which decoder, if any."""

    way: str
    channels: int
    width: int | None = None

    @property
    def part(self) -> str:
        """What is timed."""
        return "encoder" if self.width is None else f"whole step, decoder width {self.width}"


CONTENDERS = {
    f"{way}-{channels}-{width or 'encoder'}": Contender(way=way, channels=channels, width=width)
    for channels, width in ((3, None), (20, None), (3, 768), (20, 768), (20, 256))
    for way in (FIRST, "no mask", "packed")
    if way != "no mask" or width is None
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="runs of each contender")
    parser.add_argument("--steps", type=int, default=3, help="timed steps in a run")
    parser.add_argument("--batch", type=int, default=8, help="images in a step on the CPU")
    parser.add_argument("--cuda-batch", type=int, default=128, help="images in a step on a CUDA device")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS), help="contenders to run")
    parser.add_argument("--out", type=Path, default=RESULTS / "packed.md", help="where to write the tables")
    parser.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    parser.add_argument("--run", choices=CONTENDERS, help="run one contender once and print its numbers as JSON")
    options = parser.parse_args()
    if options.run:
        print(json.dumps(run(CONTENDERS[options.run], options.device, options.batch, options.steps)))
        return
    text = f"# Packed encoder\n\n{__doc__.partition(chr(10) * 2)[2].strip()}\n\n"
    text += f"CPU, float32, {options.batch} images, {torch.get_num_threads()} threads, torch {torch.__version__}; "
    text += f"medians of {options.repeats} interleaved runs of {options.steps} steps.\n\n"
    found = {"cpu": measure(options, "cpu", options.batch)}
    text += "\n".join(rows(found["cpu"], options.batch))
    text += "\n\nCUDA, bf16: "
    if torch.cuda.is_available():
        text += f"{torch.cuda.get_device_name()}, {options.cuda_batch} images.\n\n"
        found["cuda"] = measure(options, "cuda", options.cuda_batch)
        text += "\n".join(rows(found["cuda"], options.cuda_batch)) + "\n"
    else:
        text += "not run, there was no such device.\n"
    medians = {
        (device, name): {key: statistics.median(run[key] for run in taken) for key in taken[0]}
        for device, runs in found.items()
        for name, taken in runs.items()
    }
    ratios = {
        f"{FIRST} / {name}, {device}": medians[device, first]["seconds"] / values["seconds"]
        for (device, name), values in medians.items()
        if (device, first := name.replace(CONTENDERS[name].way, FIRST)) in medians and first != name
    }
    numbers = [{"device": device, "name": name, **values} for (device, name), values in medians.items()]
    record(options.out, text, ratios=ratios, numbers=numbers)


def measure(options: argparse.Namespace, device: str, batch: int) -> dict[str, list[dict[str, float]]]:
    """Run the contenders in turns, each in a process of its own."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in options.only}
    for _ in range(options.repeats):
        for name in options.only:
            command = [sys.executable, __file__, "--run", name, "--device", device]
            command += ["--batch", str(batch), "--steps", str(options.steps)]
            runs[name].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
            print(device, name, runs[name][-1], file=sys.stderr)
    return runs


def rows(runs: dict[str, list[dict[str, float]]], batch: int) -> Iterator[str]:
    """Yield the lines of a table."""
    yield "| what | channels | encoder | s per step (min–max) | images per s | masked-dense / this | peak memory, MB |"
    yield "|---|---|---|---|---|---|---|"
    medians = {name: statistics.median(run["seconds"] for run in found) for name, found in runs.items()}
    for name, found in runs.items():
        contender = CONTENDERS[name]
        seconds = [run["seconds"] for run in found]
        first = medians.get(first_name := name.replace(contender.way, FIRST))
        if first and contender.width and not math.isclose(found[0]["loss"], runs[first_name][0]["loss"], rel_tol=0.01):
            raise RuntimeError(f"{name} and {first_name} take the same step, but their losses differ.")
        yield (
            f"| {contender.part} | {contender.channels} | {contender.way} "
            f"| {medians[name]:.3f} ({min(seconds):.3f}–{max(seconds):.3f}) | {batch / medians[name]:.2f} "
            f"| {f'{first / medians[name]:.2f}' if first else '–'} "
            f"| {statistics.median(run['memory'] for run in found):.0f} |"
        )


def run(contender: Contender, device: str, batch: int, steps: int) -> dict[str, float]:
    """Run one contender once, in this process."""
    tune_allocator()
    torch.manual_seed(0)
    model = build_spark("resnet50", contender.channels, width=contender.width or 32, patch=PATCH).to(device).train()
    model = model.to(memory_format=torch.channels_last)
    images = torch.rand(batch, contender.channels, SIDE, SIDE, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    step = WAYS[contender.way](model, contender.width is not None)
    on_gpu = device == "cuda"
    before = 0.0 if on_gpu else memory_mb("VmRSS")
    seconds, losses = [], []
    for _ in range(steps + 1):
        visible = draw_visible(batch, (SIDE // PATCH, SIDE // PATCH))
        model.zero_grad()
        begun = time.perf_counter()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=on_gpu):
            loss = step(images, visible)
        loss.backward()
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
        losses.append(float(loss.detach()))
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else memory_mb("VmHWM") - before
    return {"seconds": statistics.median(seconds[1:]), "memory": peak, "loss": losses[0]}


def loss_of(model: Spark, features: list[Packed], images: Tensor, visible: Tensor) -> Tensor:
    """Decode and score, as `Spark` does with the features of its encoder."""
    deepest_first = features[:1:-1]
    dense = [densify(found) for densify, found in zip(model.densify, deepest_first, strict=True)]
    papyrus = torch.ones_like(images[:, :1])
    return Reconstruction(patch=PATCH)(model.decoder(dense), images, visible.to(images.device), papyrus).total


def packed_way(model: Spark, whole: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def step(images: Tensor, visible: Tensor) -> Tensor:
        features = encode(model.encoder, images, visible, PATCH)
        if whole:
            return loss_of(model, features, images, visible)
        return sum((feature.blocks.float() ** 2).mean() for feature in features[1:])

    return step


def plain_way(model: Spark, whole: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def step(images: Tensor, visible: Tensor) -> Tensor:
        return sum((feature.float() ** 2).mean() for feature in model.encoder(images)[1:])

    return step


def masked_way(model: Spark, whole: bool) -> Callable[[Tensor, Tensor], Tensor]:
    masks = Masks()
    for module in model.encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = masks.norm.__get__(module)
        elif isinstance(module, nn.Conv2d | nn.MaxPool2d):
            module.register_forward_hook(masks.multiply)

    def step(images: Tensor, visible: Tensor) -> Tensor:
        layout = masks.begin(visible, images)
        features = model.encoder(images * masks.map(SIDE))
        if whole:
            packed = [pack(found, layout, PATCH * found.shape[-1] // SIDE) for found in features]
            return loss_of(model, packed, images, visible)
        return sum((feature.float() ** 2).mean() for feature in features[1:])

    return step


class Masks:
    """The mask of a step at every resolution, and SparK's masked layers."""

    def begin(self, visible: Tensor, images: Tensor) -> Layout:
        """Take the mask of a step and forget the one before."""
        self.visible, self.dtype = visible, images.dtype
        self.found: dict[int, tuple[Tensor, Tensor]] = {}
        self.device = images.device
        return Layout.of(visible).to(images.device)

    def at(self, side: int) -> tuple[Tensor, Tensor]:
        """Return the mask at a resolution, N1HW, and which rows of (N H W, C) are visible."""
        if side not in self.found:
            factor = side // self.visible.shape[1]
            mask = self.visible.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
            index = mask.flatten().nonzero()[:, 0]
            self.found[side] = (mask[:, None].to(self.device, self.dtype), index.to(self.device))
        return self.found[side]

    def map(self, side: int) -> Tensor:
        """Return the mask, N1HW."""
        return self.at(side)[0]

    def multiply(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """Mask what a layer says; a forward hook."""
        return output * self.map(output.shape[-1]).to(output.dtype)

    @property
    def norm(self) -> Callable[[nn.BatchNorm2d, Tensor], Tensor]:
        """A forward for batch norms: gather what is visible, norm it, scatter it into zeros."""

        def forward(norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
            index = self.at(images.shape[-1])[1]
            last = images.permute(0, 2, 3, 1)
            rows = last.reshape(-1, last.shape[-1])  # N H W C -> (N H W) C
            seen = functional.batch_norm(
                rows.index_select(0, index), norm.running_mean, norm.running_var, norm.weight, norm.bias, True
            )
            return torch.zeros_like(rows).index_copy(0, index, seen).view_as(last).permute(0, 3, 1, 2)

        return forward


WAYS = {FIRST: masked_way, "no mask": plain_way, "packed": packed_way}


def memory_mb(which: str) -> float:
    """Return this process's resident size, VmRSS, or the largest so far, VmHWM."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(which))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
