"""Costs of a comparison for characters: what a photograph takes with each model, and how long epochs took."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from volumen.evaluation.cost import Cost, measure_cost
from volumen.models.checkpoint import load_checkpoint
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from volumen.recipes.comparing.characters.scoring import Outcome

_FILE = "costs.json"
_HEADER = ("model", "parameters", "GMAC a photograph", "ms a photograph", "peak MiB", "s an epoch", "measured")


def model_costs(out: str, outcome: Outcome, size: tuple[int, int]) -> Mapping[str, Cost]:
    """Measure the first run of each model on one photograph of (H, W) px, on its device; what was measured is kept.

    Raises
    ------
    OutOfSpaceError
        The disk is full.
    """
    file = Path(out) / _FILE
    if not file.exists():
        measured = {}
        for cell, runs in outcome.items():
            if cell.model not in measured:
                measured[cell.model] = asdict(_measure(runs[0].record.path, runs[0].record.device or "cpu", size))
        write_whole(file, json.dumps(measured, indent=1) + "\n")
    found = json.loads(file.read_text(encoding="utf-8"))
    return {model: Cost(**cost) for model, cost in found.items()}


def cost_rows(costs: Mapping[str, Cost], outcome: Outcome, size: tuple[int, int]) -> list[tuple[str, ...]]:
    """Lay out what each model takes: header first. An epoch's seconds are the mean over all runs of the model."""
    rows: list[tuple[str, ...]] = [_HEADER]
    for model, cost in costs.items():
        runs = [run for cell, several in outcome.items() if cell.model == model for run in several]
        taken = [value for run in runs for _, value in run.record.curves.get("epoch_seconds", ())]
        devices = sorted({run.record.device for run in runs if run.record.device})
        rows.append(
            (
                model,
                f"{cost.parameters:,}",
                f"{cost.gmac:.3g}",
                f"{1e3 * cost.seconds:.3g}",
                f"{cost.peak_bytes / 2**20:.3g}",
                f"{sum(taken) / len(taken):.3g}" if taken else "–",
                f"{size[0]} × {size[1]} px, {', '.join(devices) or 'cpu'}",
            )
        )
    return rows


def _measure(run: Path, device: str, size: tuple[int, int]) -> Cost:
    model, _ = load_checkpoint(run / "best.safetensors")
    model.to(device)
    image = torch.zeros(1, 3, *size, device=device)
    return measure_cost(model, lambda: model(image), images=1)
