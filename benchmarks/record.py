"""What a benchmark leaves behind: a page for people, the same as JSON with machine and command, and its ratios drawn.

A benchmark says which of its numbers are ratios between things that were timed in the same run, each so that more is
better: those mean something on another machine too, and are what ``benchmarks/check.py`` compares.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULTS = Path(__file__).parent / "results"
_PLACES = {"--out", "--folder"}  # options that say where, which is nobody else's concern
_LONGEST_LINE = 32  # characters of a name beside its bar
_PACKAGES = ("volumen", "torch", "numpy", "zarr", "napari", "monai", "distributed")


def record(
    out: Path,
    page: str,
    *,
    ratios: Mapping[str, float],
    numbers: Sequence[Mapping[str, Any]],
    program: str | None = None,
) -> None:
    """Print a page, write it to ``out``, and beside it what it says as JSON, and its ratios as a PNG.

    Parameters
    ----------
    out
        A ``.md`` file.
    page
        Markdown.
    ratios
        By name; more is better.
    numbers
        A row of every table, as a dictionary.
    program
        What was run, from the repository's root; the benchmark that calls this, if not given.
    """
    print(page)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page)
    asked = [each for pair in pairwise(["", *sys.argv[1:]]) if not _PLACES & set(pair) for each in pair[1:]]
    told = {
        "command": " ".join(["python", program or f"benchmarks/{Path(sys.argv[0]).name}", *asked]),
        "machine": machine(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "ratios": {name: round(value, 4) for name, value in ratios.items()},
        "numbers": list(numbers),
    }
    out.with_suffix(".json").write_text(
        json.dumps(told, indent=1, ensure_ascii=False, default=lambda value: value.item()) + "\n"
    )
    if ratios:
        out.with_suffix(".png").write_bytes(_plot(ratios))


def _plot(ratios: Mapping[str, float]) -> bytes:
    from volumen.evaluation.bars import Bars, plot_bars  # at the end: a benchmark of starting up comes before
    from volumen.evaluation.figures import Level

    bars = Bars(name="ratio", values=list(ratios.values()), reach=[math.nan] * len(ratios))
    equal = Level(name="equal", y=1, series=1)
    names = [textwrap.fill(name, _LONGEST_LINE) for name in ratios]
    return plot_bars(names, [bars], title="", x_label="ratio, more is better", levels=[equal])


def machine() -> dict[str, Any]:
    """Return what the numbers were taken on: processor, cores that may be used, memory, and the CUDA device if any."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    told = {
        "processor": _processor(),
        "cores": cores(),
        "memory_gb": round(memory),
        "python": platform.python_version(),
    }
    torch = sys.modules.get("torch")  # a benchmark that does without it is not slowed by it
    return {**told, "cuda": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None}


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
