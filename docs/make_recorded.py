"""Write docs/recorded.md from benchmarks/results, the home of these numbers: ``python docs/make_recorded.py``."""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"

_HEAD = """# Recorded results

Made from `benchmarks/results` by `docs/make_recorded.py`; a test keeps it so. [Benchmarks](benchmarks.md) says what
these mean.
"""


def make() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for page in sorted(RESULTS.glob("*.md")):
        title, _, body = page.read_text("utf-8").partition("\n")
        parts += [
            f"#{title}\n",
            body.strip() + "\n",
            _plot(page.with_suffix(".png")),
            _where(page.with_suffix(".json")),
        ]
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _plot(path: Path) -> str:
    """Return the plot of a benchmark, if it was drawn."""
    return f"![{path.stem}](../benchmarks/results/{path.name})\n" if path.exists() else ""


def _where(path: Path) -> str:
    """Return how and where a page was made, as far as that was recorded."""
    if not path.exists():
        return ""
    told = json.loads(path.read_text("utf-8"))
    machine, versions = told["machine"], told["versions"]
    what = ", ".join(f"{name} {number}" for name, number in versions.items())
    device = machine["cuda"] or "no GPU"
    return (
        f"`{told['command']}` on {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{device}; Python {machine['python']}, {what}.\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("recorded.md").write_text(make(), "utf-8")
