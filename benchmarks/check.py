"""Whether anything became slower: runs benchmarks anew, and compares their ratios with the recorded ones.

Run ``python benchmarks/check.py`` on a machine with nothing else to do, or name some benchmarks. Only ratios that both
runs took are compared, as they do not depend on how fast the machine is; each run is shorter than the recorded one. A
ratio that fell by more than the tolerance is a regression, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SHORT = {
    "prediction": ["--repeats", "3", "--only", "monai-default", "default"],
    "packed": ["--repeats", "3", "--steps", "2", "--only", "masked-dense-20-encoder", "packed-20-encoder"],
    "lines": ["--rounds", "5"],
    "crops": ["--repeats", "3"],
    "startup": [],
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A ratio then and now."""

    name: str
    recorded: float
    fresh: float
    tolerance: float

    @property
    def slower(self) -> bool:
        """Whether it fell by more than is tolerated."""
        return self.fresh < self.recorded * (1 - self.tolerance)

    def __str__(self) -> str:
        said = "SLOWER" if self.slower else "as recorded" if self.fresh < self.recorded * 1.05 else "faster"
        return f"{self.name}: {self.fresh:.3f}, recorded {self.recorded:.3f}: {said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *SHORT], help="benchmarks; all of them if none is named")
    parser.add_argument("--tolerance", type=float, default=0.15, help="share that a ratio may fall by")
    options = parser.parse_args()
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.names or SHORT:
            out = Path(scratch) / f"{name}.md"
            subprocess.run([sys.executable, HERE / f"{name}.py", *SHORT[name], "--out", out], check=True)
            found = compare(HERE / "results" / f"{name}.json", out.with_suffix(".json"), options.tolerance)
            verdicts += found
            print(*(f"{name}, {verdict}" for verdict in found), sep="\n", flush=True)
    sys.exit(any(verdict.slower for verdict in verdicts))


def compare(recorded: Path, fresh: Path, tolerance: float) -> list[Verdict]:
    """Return a verdict on every ratio that both files have.

    Raises
    ------
    ValueError
        They have none in common, so that nothing was compared.
    """
    then, now = (json.loads(path.read_text())["ratios"] for path in (recorded, fresh))
    both = [name for name in then if name in now]
    if not both:
        raise ValueError(f"{recorded.name} and the run just made have no ratio in common; record it anew.")
    return [Verdict(name=name, recorded=then[name], fresh=now[name], tolerance=tolerance) for name in both]


if __name__ == "__main__":
    main()
