"""What our training of a reader costs beside a plain PyTorch loop over the same model, batches and steps.

Run ``python benchmarks/lines.py``, on a machine with nothing else to do, or with ``--lines LIST.tsv`` on lines of one's
own; without, lines of noise are made, as wide as written ones are. Ours is what `train_reader` runs: threads read
lines and make batches, the loss is looked at in every step, and every step is recorded in a run folder. The plain loop
has its batches ready in memory, never looks at its loss and records nothing; it does forward, backward, clipping and
AdamW at the same rates, and no more.

Seconds: both take turns in one process over one model, as many steps a turn over the same batches; a round is the
ratio of two turns. Between turns the threads that make batches come to rest, so neither works in the other's time.
The state of a run is saved once a minute; that is timed by itself, and its share of a minute added.

Memory: each in processes of its own, as large as the process grew from before the model was built. On a CUDA device:
as much as tensors took in the process that is timed. From the same weights both must find the same losses.
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
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from packed import memory_mb
from record import RESULTS, record
from volumen.allocator import tune_allocator
from volumen.events import Stepped
from volumen.recipes.reading.line_course import line_course
from volumen.recipes.reading.train import Apprentice
from volumen.settings import TrainReader
from volumen.training.optimizers import adamw, warm_up_cosine
from volumen.training.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

AHEAD = 2  # batches that are made while a step is taken
SAVES = 60.0  # seconds from one saved state to the next
CONTENDERS = ("plain", "ours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=Path, help="list of lines; noise otherwise")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--decoder", choices=("ctc", "attention", "transformer"), default="ctc")
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--width", type=float, default=0.25, help="channels, as a share of the published ones")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4, help="timed steps in a turn")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each")
    parser.add_argument("--processes", type=int, default=3, help="processes of each, for memory")
    parser.add_argument("--note", default="", help="a sentence about the machine, for the record")
    parser.add_argument("--out", type=Path, default=RESULTS / "lines.md")
    parser.add_argument("--run", choices=CONTENDERS, help="take one turn of one alone and print its numbers as JSON")
    options = parser.parse_args()
    tune_allocator()
    with tempfile.TemporaryDirectory() as folder:
        if options.lines is None:
            options.lines = make_lines(Path(folder), 4 * options.batch)
        if options.run:
            print(json.dumps(alone(options, Path(folder))))
            return
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Measure everything and write it up."""
    bench = Bench(options, folder)
    turns = {name: bench.turns(name) for name in CONTENDERS}
    rounds = []
    for number in range(options.rounds + 1):  # the first one warms up
        order = CONTENDERS if number % 2 else CONTENDERS[::-1]
        taken = {name: next(turns[name]) for name in order}
        rounds.append({name: turn.seconds for name, turn in taken.items()})
        print({name: round(seconds, 4) for name, seconds in rounds[-1].items()}, file=sys.stderr)
    peaks = {name: turn.memory for name, turn in taken.items()}
    begun = time.perf_counter()
    turns["ours"].close()  # saves the state
    saving = time.perf_counter() - begun
    if bench.device.type == "cpu":
        peaks = memory(options)
    ratios = [found["ours"] / found["plain"] for found in rounds[1:]]
    ratio = statistics.median(ratios)
    medians = {name: statistics.median(found[name] for found in rounds[1:]) for name in CONTENDERS}
    size = f"{sum(parameter.numel() for parameter in bench.model.parameters()) / 1e6:.2f} M parameters"
    rows = [f"| {name} | {medians[name]:.4f} | {peaks[name]:.0f} |" for name in CONTENDERS]
    where = torch.cuda.get_device_name() if bench.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    wide = f"{bench.apprentice.train.widths.mean():.0f} px wide on average"
    saved = f"{saving:.2f} s, {saving / SAVES:.2%} of a minute"
    text = (
        f"# Training a reader\n\n{__doc__.partition(chr(10) * 2)[2].strip()}\n\n"
        f"{where}, torch {torch.__version__}; {options.decoder}, width {options.width} ({size}), lines "
        f"{options.height} px high and {wide}, {options.batch} in a step; medians of {options.rounds} rounds of "
        f"{options.steps} steps. {options.note}\n\n"
        "| loop | s per step | peak memory, MB |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Ours / plain: {ratio:.3f} (rounds {min(ratios):.3f}–{max(ratios):.3f}) in seconds, "
        f"{peaks['ours'] / peaks['plain']:.3f} in memory. Saving the state takes {saved}. "
        f"Overhead in time, all together: {ratio - 1 + saving / SAVES:.1%}.\n"
    )
    record(
        options.out,
        text,
        ratios={"seconds, plain / ours": 1 / ratio, "memory, plain / ours": peaks["plain"] / peaks["ours"]},
        numbers=[{"name": name, "seconds": medians[name], "memory": peaks[name]} for name in CONTENDERS],
    )


def memory(options: argparse.Namespace) -> dict[str, float]:
    """Return the peak memory of each loop, in MB, from processes of its own; they must agree in their losses."""
    command = [sys.executable, __file__, "--lines", str(options.lines), "--device", options.device]
    for name in ("decoder", "height", "width", "batch", "steps"):
        command += [f"--{name}", str(getattr(options, name))]
    found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    losses = []
    for _ in range(options.processes):
        for name in CONTENDERS:
            run = json.loads(subprocess.run([*command, "--run", name], check=True, stdout=subprocess.PIPE).stdout)
            print(name, run, file=sys.stderr)
            found[name].append(run["memory"])
            losses.append(run["losses"])
    if not all(math.isclose(*pair, rel_tol=1e-4) for other in losses for pair in zip(losses[0], other, strict=True)):
        raise RuntimeError(f"Both loops take the same steps, but their losses differ: {losses}.")
    return {name: statistics.median(peaks) for name, peaks in found.items()}


def alone(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Take one turn in this process, and say how large it grew."""
    before = memory_mb("VmRSS")
    turn = next(Bench(options, folder).turns(options.run))
    return {"memory": memory_mb("VmHWM") - before, "losses": turn.losses}


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Seconds a step, the losses of all its steps, and peak memory in MB on a CUDA device."""

    seconds: float
    losses: list[float]
    memory: float


class Bench:
    """One reader, and the two loops over it."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.steps = options.steps
        total = (options.rounds + 2) * (options.steps + AHEAD)
        self.settings = TrainReader(
            lines=(str(options.lines),),
            out=str(folder / "run"),
            decoder=options.decoder,
            height=options.height,
            model_width=options.width,
            batch=options.batch,
            views="none",
            steps=total,
            score_steps=total,
            warm_up_steps=total // 2,
            save_seconds=1e9,
            device=options.device,
            precision="32",
        )
        self.apprentice = Apprentice.of(self.settings)
        self.model = self.apprentice.model
        self.device = self.apprentice.fabric.device

    def turns(self, name: str) -> Iterator[Turn]:
        """Yield turn after turn of one of the loops."""
        with closing({"plain": self.plain, "ours": self.ours}[name]()) as losses:
            while True:
                opening = list(islice(losses, AHEAD))  # what was made ahead is used up
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                self._finish()
                begun = time.perf_counter()
                timed = list(islice(losses, self.steps))
                self._finish()
                seconds = (time.perf_counter() - begun) / self.steps
                peak = torch.cuda.max_memory_allocated() / 2**20 if self.device.type == "cuda" else math.nan
                time.sleep(0.5)  # batches that are being made ahead get ready
                yield Turn(seconds=seconds, losses=[float(loss) for loss in opening + timed], memory=peak)

    def plain(self) -> Iterator[Tensor]:
        """Take steps as a script does; yield losses."""
        model, settings = self.model.to(self.device), self.settings
        optimizer = adamw(model, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
        batches = AHEAD + self.steps
        for start in count(0, batches):
            ready = list(islice(self.apprentice.batches(0, start), batches))
            model.train()
            for step, batch in enumerate(ready, start):
                on_device = {key: tensor.to(self.device) for key, tensor in batch.items()}
                rate = warm_up_cosine(
                    step, steps=settings.steps, warm_up=settings.warm_up_steps, peak=settings.learning_rate
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad(set_to_none=True)
                loss = self.apprentice.objective(model, on_device).total
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
                optimizer.step()
                yield loss.detach()

    def ours(self) -> Iterator[float]:
        """Take steps as `train_reader` does; yield losses."""
        run = Run.create(self.settings.out, {})
        events = line_course(run, self.apprentice, work="train reader", detail={}, score="loss")
        try:
            yield from (event.values["loss"] for event in events if isinstance(event, Stepped))
        finally:
            events.close()

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def make_lines(folder: Path, count: int) -> Path:
    """Write lines of noise, 64 px high, about as wide as written ones, with texts; return their list."""
    random = np.random.default_rng(0)
    listed = ["file\ttext"]
    for number in range(count):
        width = int(np.clip(random.normal(480, 120), 60, 900))
        Image.fromarray(random.integers(0, 256, (64, width), dtype=np.uint8)).save(folder / f"{number}.png")
        listed.append(f"{number}.png\t{''.join(random.choice(list('abcdefghij '), width // 20))}")
    path = folder / "lines.tsv"
    path.write_text("\n".join(listed) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
