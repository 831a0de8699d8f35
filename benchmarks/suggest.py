"""How many labels a model needs where windows to label are suggested, and where they are drawn.

Run ``python benchmarks/suggest.py``. For each seed it writes a phantom with letters on a part of it, labels a few
windows drawn at random and trains on them. Then a person is played who labels as many windows more, those that
`volumen suggest` names, or drawn ones; and another who labels drawn windows until there are twice as many. Each is
trained anew, from random weights and for the same number of steps, and scored by its AUC on the same held-out quarter.
Suggesting needs at most half of the labels where its AUC is that of the drawn ones of twice the number.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from volumen import settings
from volumen.evaluation.paired import paired_difference
from volumen.events import result
from volumen.recipes.finding.suggest import suggest
from volumen.recipes.finetune import finetune
from volumen.sources.open import open_segment
from volumen.sources.synthetic.letters import ALPHABET, glyph
from volumen.sources.synthetic.phantom import make_phantom

LAYERS = 8
CELLS = 12  # windows along a side of the phantom, of which the last quarter is held out
LEAST_INK = 0.03  # of the windows that are labelled at first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to keep everything; a temporary folder otherwise")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--window", type=int, default=64, help="side of a window in px; a letter is two thirds of it")
    parser.add_argument("--first", type=int, default=4, help="windows that are labelled at first")
    parser.add_argument("--steps", type=int, default=160, help="of every training, about")
    parser.add_argument("--contrast", type=float, default=2.0, help="strength of the ink, 1 being hard")
    parser.add_argument("--written", type=float, default=0.3, help="share of the lines that are written on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [Person(options.folder or Path(scratch), seed, options).work() for seed in range(options.seeds)]
    for one, other in (("suggested", "drawn"), ("suggested", "twice"), ("drawn", "first")):
        estimate = paired_difference([row[one] for row in rows], [row[other] for row in rows])
        print(f"{one} - {other}: {estimate.mean:+.4f} ({estimate.low:+.4f} to {estimate.high:+.4f}), {len(rows)} seeds")


class Person:
    """Someone who labels windows of one phantom."""

    def __init__(self, folder: Path, seed: int, options: argparse.Namespace) -> None:
        self.seed, self.options = seed, options
        self.folder = folder / f"seed_{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rng = np.random.default_rng(seed)
        self.window, self.side = options.window, CELLS * options.window
        self.held_out = (0, self.side, self.side * 3 // 4, self.side)
        self.near = options.window // 4  # px that the person keeps away from held-out ground
        self.segment = self.folder / "phantom.zarr"
        self._write()
        self.mask = open_segment(self.segment).papyrus(open_segment(self.segment).window)

    def work(self) -> dict[str, float]:
        """Return the AUC of each way to label."""
        began, count = time.monotonic(), self.options.first
        first = self.draw([], count)
        while self.ink(first) < LEAST_INK:  # nobody begins where there is nothing to see
            first = self.draw([], count)
        scores = {"first": self.train("first", first)}
        told = settings.Suggest(
            checkpoint=str(self.folder / "first"),
            segment=str(self.segment),
            supervision=(str(self.folder / "first.png"),),
            out=str(self.folder / "suggestions"),
            window=self.window,
            n=count,
            region=(0, self.side, 0, self.held_out[2] - self.near),
            overwrite=True,
        )
        places = result(suggest(told))["suggestions"]
        chosen = [(place["box"][0], place["box"][2]) for place in places]
        scores["suggested"] = self.train("suggested", [*first, *chosen])
        drawn = self.draw(first, 3 * count)
        scores["drawn"] = self.train("drawn", [*first, *drawn[:count]])
        scores["twice"] = self.train("twice", [*first, *drawn])
        told_scores = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
        print(f"seed {self.seed}: {told_scores}  ({time.monotonic() - began:.0f} s)", flush=True)
        return scores

    def draw(self, taken: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
        """Draw windows on papyrus that overlap none, nor held-out ground."""
        drawn: list[tuple[int, int]] = []
        while len(drawn) < count:
            y, x = (
                int(edge)
                for edge in self.rng.integers(0, (self.side - self.window, self.held_out[2] - self.near - self.window))
            )
            apart = all(abs(y - v) >= self.window or abs(x - w) >= self.window for v, w in (*taken, *drawn))
            if apart and self.mask[y : y + self.window, x : x + self.window].mean() >= 0.95:
                drawn.append((y, x))
        return drawn

    def ink(self, windows: list[tuple[int, int]]) -> float:
        """Return the share of ink in some windows."""
        label = np.asarray(Image.open(self.folder / "letters.png"))
        return float(np.mean([label[y : y + self.window, x : x + self.window] > 127 for y, x in windows]))

    def train(self, name: str, windows: list[tuple[int, int]]) -> float:
        """Train on the labels of some windows, and return the AUC on the held-out quarter."""
        supervision = np.zeros((self.side, self.side), np.uint8)
        supervision[:, self.held_out[2] :] = 255
        for y, x in windows:
            supervision[y : y + self.window, x : x + self.window] = 255
        Image.fromarray(supervision).save(self.folder / f"{name}.png")
        chosen = settings.Finetune(
            segments=(str(self.segment),),
            supervision=(str(self.folder / f"{name}.png"),),
            out=str(self.folder / name),
            overwrite=True,
            layers=LAYERS,
            window=self.window,
            input_size=self.window,
            resized_crop=False,
            stride=self.window // 4,
            sampling="mask",
            held_out_region=self.held_out,
            views="flips",
            encoder_name="resnet18",
            batch=16,
            epochs=max(1, round(self.options.steps / (3 * len(windows)))),
            learning_rate=1e-3,
            score="auc",
            seed=self.seed,
        )
        return float(result(finetune(chosen))["scores"]["auc"])

    def _write(self) -> None:
        """Write letters on some of the lines: most of the papyrus is bare, as it is on fragments."""
        label = np.zeros((self.side, self.side), np.float32)
        for y in range(self.window // 2, self.side - self.window, self.window):
            is_written = self.rng.random((self.side - self.window) // self.window) < self.options.written
            for column in np.flatnonzero(is_written):
                shape = glyph(
                    ALPHABET[self.rng.integers(len(ALPHABET))], self.window * 2 // 3, int(self.rng.integers(5))
                )
                x = self.window // 2 + int(column) * self.window
                target = label[y : y + shape.shape[0], x : x + shape.shape[1]]
                np.maximum(target, shape[: target.shape[0], : target.shape[1]], out=target)
        Image.fromarray((label * 255).astype(np.uint8)).save(self.folder / "letters.png")
        if not self.segment.exists():
            chosen = settings.Phantom(
                out=str(self.segment),
                size=(self.side, self.side),
                layers=16,
                contrast=self.options.contrast,
                label=str(self.folder / "letters.png"),
                seed=self.seed,
            )
            result(make_phantom(chosen))


if __name__ == "__main__":
    main()
