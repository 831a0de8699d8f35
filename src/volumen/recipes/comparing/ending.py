"""end_comparison: how every comparison ends: results recorded, and where the table, results and report are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.events import Finished, Saved
from volumen.recipes.comparing.record import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from volumen.events import Event
    from volumen.recipes.comparing.record import Record


def end_comparison(
    out: str,
    record: Record,
    outcome: Mapping[Any, Sequence[Any]],
    results: Mapping[str, Any],
    *,
    begun: float,
    **found: Any,
) -> Iterator[Event]:
    """Record the results, and finish; the table and the page have been written.

    Parameters
    ----------
    out
        Folder of the comparison.
    outcome
        The runs of each cell.
    results
        Rows by kind: ``scores``, ``differences`` and what else there is.
    begun
        When it began, by `time.monotonic`.
    found
        What else to say in the end.
    """
    folder = Path(out)
    record.write(dict(results))
    for name, what in (("table.md", "table"), (FILE, "results"), ("report.html", "report")):
        yield Saved(path=str(folder / name), what=what)
    yield Finished(
        result={
            "report": str(folder / "report.html"),
            "table": str(folder / "table.csv"),
            "comparison": str(folder / FILE),
            "runs": sum(map(len, outcome.values())),
            **results,
            **found,
            "seconds": time.monotonic() - begun,
        }
    )
