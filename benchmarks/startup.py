"""How long it takes until something is there: ``import volumen`` and ``volumen --help``, in fresh processes.

Run ``python benchmarks/startup.py``; it prints medians, also as ratios to a bare interpreter in the same run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

CONTENDERS = {
    "bare interpreter": ["-c", "pass"],
    "import volumen": ["-c", "import volumen"],
    "volumen --help": ["-m", "volumen", "--help"],
    "volumen finetune --help": ["-m", "volumen", "finetune", "--help"],
}
REPEATS = 9


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(REPEATS):
        for name, arguments in CONTENDERS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begun)
    bare = statistics.median(seconds["bare interpreter"])
    print("| what | median s | ratio to a bare interpreter |\n|---|---|---|")
    for name, runs in seconds.items():
        median = statistics.median(runs)
        print(f"| {name} | {median:.3f} | {median / bare:.1f} |")


if __name__ == "__main__":
    main()
