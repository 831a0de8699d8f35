"""How long it takes until something is there: ``import volumen`` and ``volumen --help``, in fresh processes.

Run ``python benchmarks/startup.py``; it tells medians, also as ratios to a bare interpreter in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from record import RESULTS, record

CONTENDERS = {
    "bare interpreter": ["-c", "pass"],
    "import volumen": ["-c", "import volumen"],
    "volumen --help": ["-m", "volumen", "--help"],
    "volumen finetune --help": ["-m", "volumen", "finetune", "--help"],
}
REPEATS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "startup.md", help="where to write the table")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(REPEATS):
        for name, arguments in CONTENDERS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    bare = medians.pop("bare interpreter")
    table = "\n".join(f"| {name} | {median:.3f} | {median / bare:.1f} |" for name, median in medians.items())
    record(
        options.out,
        f"# Start\n\nMedians of {REPEATS} fresh processes, in turns; a bare interpreter takes {bare:.3f} s.\n\n"
        f"| what | s | times a bare interpreter |\n|---|---|---|\n{table}\n",
        ratios={f"bare interpreter / {name}": bare / median for name, median in medians.items()},
        numbers=[{"name": name, "seconds": median} for name, median in medians.items()],
    )


if __name__ == "__main__":
    main()
