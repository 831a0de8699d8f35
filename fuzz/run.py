"""Fuzz every reader and parser, one after the other in short turns, and write what came of it into one table.

``python fuzz/run.py --minutes 20`` brings every parser to that many minutes, counted over all runs: what was found is
kept in a folder, so that it goes on where it stopped; a new folder begins with the minutes of the recorded table, and
with an empty corpus. With ``--minutes 0`` only the table is written.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from catalogue import NAMES, READS
from records import Count, Records

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from record import record  # noqa: E402 - it is found only now

_STATE = re.compile(r"cov: (\d+) ft: (\d+)")
_DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def main() -> None:
    """Fuzz until every chosen parser has had its minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="of each parser, all runs together")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", default=NAMES, help=", ".join(NAMES))
    parser.add_argument("--turn", type=int, default=120, help="seconds of a parser before the next one's turn")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="where inputs and counts are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "fuzz.md")
    chosen = parser.parse_args()
    if not chosen.folder.exists():
        _take_up(chosen.out.with_suffix(".json"), chosen.folder)
    going = list(chosen.only)
    while going:
        counts = {name: _records(chosen.folder, name).count() for name in going}
        name = min(counts, key=lambda each: counts[each].seconds)
        left = 60 * chosen.minutes - counts[name].seconds
        if left < 1:
            break
        if not _turn(name, _records(chosen.folder, name), max(5, round(min(chosen.turn, left)))):
            going.remove(name)
        _write(chosen.folder, chosen.out)
    _write(chosen.folder, chosen.out)


def _take_up(recorded: Path, folder: Path) -> None:
    """Begin a folder with the counts that were recorded before, on whatever machine."""
    for row in json.loads(recorded.read_text())["numbers"] if recorded.exists() else ():
        done = {"executions": row["inputs"], "edges": row["branches"], "before": row["faults found"]}
        spent = {"seconds": 60 * row["minutes"], "processor": 60 * row["of processor"]}
        _records(folder, row["parser"]).write(Count(**done, **spent))


def _records(folder: Path, name: str) -> Records:
    return Records(folder / name.replace(" ", "-"))


def _turn(name: str, records: Records, seconds: int) -> bool:
    """Fuzz one parser for a while, in a process of its own; say whether that could be done."""
    records.folder.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, str(Path(__file__).with_name("one.py")), name]
    log = records.folder / "log.txt"
    begun, spent = time.monotonic(), _processor()
    with open(log, "wb") as file:
        ended = subprocess.run(
            [*program, "--seconds", str(seconds), "--folder", str(records.folder)],
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    said = log.read_text(errors="replace")
    done, states = _DONE.findall(said), _STATE.findall(said)
    if not done:
        print(f"{name} ended with {ended.returncode} before it told what it did:\n{said[-3000:]}", file=sys.stderr)
        return False
    count = records.count()
    count.executions += int(done[-1])
    count.seconds += min(seconds, time.monotonic() - begun)
    count.processor += _processor() - spent
    count.edges, count.features = map(int, states[-1]) if states else (count.edges, count.features)
    records.write(count)
    told = f"{time.strftime('%H:%M:%S')} {name}: {done[-1]} inputs, {count.open} faults open"
    print(told, file=sys.stderr, flush=True)
    return True


def _processor() -> float:
    """Return the seconds of processor time that the programs started here have taken."""
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


def _write(folder: Path, out: Path) -> None:
    rows = [_row(name, _records(folder, name)) for name in NAMES]
    titles = ("parser", "reads", "inputs", "branches", "corpus", "minutes", "of processor", "faults found", "open")
    lines = [f"| {' | '.join(titles)} |", "|---|---|" + "--:|" * (len(titles) - 2)]
    lines += ["| " + " | ".join(str(row[title]) for title in titles) + " |" for row in rows]
    page = _PAGE.format(table="\n".join(lines))
    record(out, page, ratios={}, numbers=rows, program="fuzz/run.py")


def _row(name: str, records: Records) -> dict[str, str | int | float]:
    count: Count = records.count()
    return {
        "parser": name,
        "reads": READS[name],
        "inputs": count.executions,
        "branches": count.edges,
        "corpus": len(list(records.corpus.iterdir())),
        "minutes": round(count.seconds / 60, 1),
        "of processor": round(count.processor / 60, 1),
        "faults found": count.before + len(list(records.faults())) + len(list(records.crashes.glob("hang-timeout-*"))),
        "open": count.open,
    }


_PAGE = """\
# Fuzzing

Every reader and parser, fed by libFuzzer through atheris with inputs that are kept where they reach a new branch of
Python code, in volumen and, for volumes and pictures, in tifffile, zarr or Pillow. An input counts as a fault where a
reader raises anything but an error of ours, takes more than five seconds of processor time or a gigabyte, writes
outside its folder, runs code, opens a connection or unpickles a name. Faults of one kind at one place count once; those
that are open fail still, all others are test cases.

{table}
"""


if __name__ == "__main__":
    main()
