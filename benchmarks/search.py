"""How many of the places that one click finds are copies of the mark that was clicked on.

Run ``python benchmarks/search.py``. It writes a phantom on which one letter stands 60 times, among other letters or
alone, every letter somewhere else in its cell; pretrains a ResNet-18 on it by SparK, without labels; trains another on
the ink of another phantom; indexes the phantom with each encoder and with one of random weights; and searches once from
each of some copies.
Precision at 20 is the share of the 20 best places whose middle lies within half a letter of another copy.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from volumen import settings
from volumen.events import result
from volumen.models.checkpoint import save_encoder
from volumen.models.unet import build_encoder
from volumen.recipes.finding.index import index
from volumen.recipes.finding.search import search
from volumen.recipes.finetune import finetune
from volumen.recipes.pretrain import pretrain_spark
from volumen.sources.index.window_index import WindowIndex
from volumen.sources.synthetic.letters import ALPHABET, glyph
from volumen.sources.synthetic.phantom import make_phantom

MARK, COPIES, HEIGHT, CELL, LAYERS = "O", 60, 44, 64, 8
K = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to keep phantom, encoders and indices; else a temporary one")
    parser.add_argument("--side", type=int, default=1024, help="height and width of the phantom in pixels")
    parser.add_argument("--contrast", type=float, default=2.0, help="strength of the ink, 1 being hard")
    parser.add_argument("--others", type=float, default=0.0, help="share of the other cells that hold another letter")
    parser.add_argument("--epochs", type=int, default=100, help="of the pretraining")
    parser.add_argument("--stride", type=int, default=16, help="between windows of 64 px")
    parser.add_argument("--clicks", type=int, default=20, help="copies to search from")
    parser.add_argument("--stages", type=int, nargs="+", default=[3, 4, 5], help="maps to pool")
    parser.add_argument("--only", choices=list(ENCODERS), help="one encoder alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        copies = write_phantom(folder, options.side, options.contrast, options.others)
        for name in [options.only] if options.only else ENCODERS:
            encoder = ENCODERS[name](folder, options)
            for stage in options.stages:
                compare(folder, name, encoder, stage, copies, options)


def write_phantom(folder: Path, side: int, contrast: float, share: float) -> list[tuple[int, int]]:
    """Write ``marks.zarr``, and return the middle (y, x) of every copy of the mark."""
    rng = np.random.default_rng(0)
    cells = [(y, x) for y in range(CELL, side - 2 * CELL, CELL) for x in range(CELL, side - 2 * CELL, CELL)]
    label, copies = np.zeros((side, side), np.float32), []
    others = [letter for letter in ALPHABET if letter != MARK]
    for number, cell in enumerate(rng.permutation(len(cells))):
        letter = MARK if number < COPIES else others[rng.integers(len(others))]
        if number >= COPIES and rng.random() >= share:
            continue
        shape = glyph(letter, HEIGHT, int(rng.integers(5)))
        free = np.maximum(CELL - np.array(shape.shape), 1)
        y, x = np.array(cells[cell]) + rng.integers(0, free)
        target = label[y : y + shape.shape[0], x : x + shape.shape[1]]
        np.maximum(target, shape, out=target)
        if letter == MARK:
            copies.append((int(y) + shape.shape[0] // 2, int(x) + shape.shape[1] // 2))
    Image.fromarray((label * 255).astype(np.uint8)).save(folder / "marks.png")
    if not (folder / "marks.zarr").exists():
        chosen = settings.Phantom(
            out=str(folder / "marks.zarr"),
            size=(side, side),
            layers=16,
            contrast=contrast,
            label=str(folder / "marks.png"),
        )
        result(make_phantom(chosen))
    return copies


def draw_random(folder: Path, options: argparse.Namespace) -> Path:
    """Return a file of random weights."""
    torch.manual_seed(0)
    path = folder / "random.safetensors"
    architecture = {"encoder_name": "resnet18", "in_channels": LAYERS}
    save_encoder(path, build_encoder("resnet18", LAYERS), architecture, {"layer_count": LAYERS})
    return path


def learn_papyrus(folder: Path, options: argparse.Namespace) -> Path:
    """Pretrain on the phantom that is searched, without labels."""
    out = folder / "spark"
    if (out / "best.safetensors").exists():
        return out
    began = time.monotonic()
    chosen = settings.PretrainSpark(
        segments=(str(folder / "marks.zarr"),),
        out=str(out),
        layers=LAYERS,
        window=96,
        input_size=96,
        resized_crop=False,
        views="mild",
        targets="gradient",
        learning_rate=1.6e-2,
        encoder_name="resnet18",
        decoder_width=128,
        batch=32,
        epochs=options.epochs,
        warm_up_epochs=1,
        device="auto",
    )
    result(pretrain_spark(chosen))
    print(f"pretrained for {options.epochs} epochs in {time.monotonic() - began:.0f} s", flush=True)
    return out


def learn_ink(folder: Path, options: argparse.Namespace) -> Path:
    """Train an ink model on the letters of another phantom; its encoder has never seen the one that is searched."""
    out = folder / "ink"
    if (out / "best.safetensors").exists():
        return out
    began = time.monotonic()
    other = str(folder / "letters.zarr")
    result(make_phantom(settings.Phantom(out=other, size=(512, 512), layers=16, contrast=options.contrast, seed=7)))
    chosen = settings.Finetune(
        segments=(other,),
        out=str(out),
        layers=LAYERS,
        window=64,
        input_size=64,
        resized_crop=False,
        views="flips",
        encoder_name="resnet18",
        learning_rate=1e-3,
        epochs=20,
    )
    scores = result(finetune(chosen))["scores"]
    print(f"learned ink elsewhere in {time.monotonic() - began:.0f} s, AUC there {scores['auc']:.3f}", flush=True)
    return out


ENCODERS = {"random": draw_random, "spark": learn_papyrus, "ink": learn_ink}


def compare(
    folder: Path, name: str, encoder: Path, stage: int, copies: list[tuple[int, int]], options: argparse.Namespace
) -> None:
    """Index with an encoder, and print the precision of every way to compare."""
    out = folder / f"index_{name}_{stage}_{options.stride}"
    chosen = settings.Index(
        segments=(str(folder / "marks.zarr"),), encoder=str(encoder), out=str(out), stage=stage, stride=options.stride
    )
    made = result(index(chosen))
    corners = np.concatenate([part.corners for part in WindowIndex.open(out).parts]) + 32
    indexed = [copy for copy in copies if (np.abs(corners - copy).max(axis=1) <= options.stride).any()]
    for comparison in ("plain", "unit", "standardized", "local"):
        shares = [precision(out, indexed, at, comparison) for at in indexed[: options.clicks]]
        print(
            f"{name:7} stage {stage} {comparison:12} precision at {K}: {np.mean(shares):.3f} "
            f"(sd {np.std(shares):.3f}, {len(shares)} clicks, {len(indexed)} of {COPIES} copies indexed, "
            f"{made['windows']} windows, chance {chance(corners, indexed):.3f})",
            flush=True,
        )


def precision(out: Path, copies: list[tuple[int, int]], at: tuple[int, int], comparison: str) -> float:
    chosen = settings.Search(index=str(out), at=(("marks", *at),), k=K, comparison=comparison)
    others = np.array([copy for copy in copies if copy != at])
    places = result(search(chosen))["places"]
    return float(np.mean([(np.abs(others - (p["y"], p["x"])).max(axis=1) <= HEIGHT // 2).any() for p in places]))


def chance(corners: np.ndarray, copies: list[tuple[int, int]]) -> float:
    """Return the share of all windows that would count as found."""
    away = np.abs(corners[:, None] - np.array(copies)[None]).max(axis=2).min(axis=1)
    return float((away <= HEIGHT // 2).mean())


if __name__ == "__main__":
    main()
