"""How often each command that writes was killed with -9, and whether it ended with the identical output each time.

Run ``python benchmarks/kills.py --kills 200``, from a source tree; the commands and what identical means are in
``tests/faults``. Half of the kills come at a random moment of a command's life, half at a random change of a file. What
was done is kept in ``--folder``, so the same command goes on where it was stopped; in a new folder, where the recorded
table ends. The first difference ends it.
"""

# ruff: noqa: E402 - what the tests have is found only after the path is set
from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / name) for name in ("faults", ".", "sources")]

from breaking import Breaker
from commands import Commands
from small_inputs import SmallInputs
from verb_table import VERBS

from record import RESULTS, record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from verb_table import Verb

_HEAD = """# Kills

Every command that writes, killed with SIGKILL together with all its processes, and gone on with, again and again.
Half of the kills came at a random moment of its life, half just before a random one of its changes to files, the last
ones included. Whenever it came to its end, in between and at last, all that it left was compared with what an
unbroken run leaves: byte for byte, but for times, and nothing besides it but the number of a killed process. After
every kill, what a reader takes for whole was compared too. A command that is not gone on with (--overwrite) begins
again over what is there.

| command | goes on by | kills | came to its end | seconds | identical |
|---|---|---:|---:|---:|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of each command")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="commands as the table names them, or how they begin")
    parser.add_argument("--minutes", type=float, default=60.0, help="most for one command; more are added next time")
    parser.add_argument("--folder", type=Path, default=Path("kills"), help="where what was done is kept")
    parser.add_argument("--out", type=Path, default=RESULTS / "kills.md")
    asked = parser.parse_args()
    if not asked.folder.exists():
        take_up(asked.out.with_suffix(".json"), asked.folder)
    chosen = [verb for verb in VERBS if asked.only is None or verb.name.startswith(tuple(asked.only))]
    with (
        tempfile.TemporaryDirectory() as scratch,
        Commands(Path(scratch, "commands")) as commands,
        SmallInputs(Path(scratch, "inputs")) as inputs,
    ):
        breaker = Breaker(commands, inputs, Path(scratch))
        for verb in chosen:
            add_kills(breaker, verb, asked.kills, 60 * asked.minutes, asked.folder / f"{verb.name}.json")
            rows = [row for each in VERBS if (row := known(asked.folder / f"{each.name}.json")) is not None]
            record(asked.out, page(rows), ratios={}, numbers=rows)


def add_kills(breaker: Breaker, verb: Verb, kills: int, seconds: float, file: Path) -> None:
    """Kill a command until it was killed so often, counting what was done before, and write down what came of it."""
    row = known(file) or {"verb": verb.name, "again": verb.again, "kills": 0, "ends": 0, "lost": 0, "seconds": 0.0}
    if row["kills"] >= kills:
        return
    done = breaker.break_often(verb, kills - row["kills"], seed=row["kills"], longest_s=seconds).to_dict()
    row |= {name: round(row[name] + done[name], 1) for name in ("kills", "ends", "lost", "seconds")}
    file.write_text(json.dumps(row))
    print(f"{verb.name}: {row['kills']} kills, {row['ends']} ends, {row['seconds']:.0f} s", flush=True)


def take_up(recorded: Path, folder: Path) -> None:
    """Begin a folder with what was recorded before, on whatever machine."""
    folder.mkdir(parents=True)
    for row in json.loads(recorded.read_text())["numbers"] if recorded.exists() else ():
        (folder / f"{row['verb']}.json").write_text(json.dumps(row))


def known(file: Path) -> dict[str, Any] | None:
    """Read what was done with a command."""
    return json.loads(file.read_text()) if file.exists() else None


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the table."""
    lines = [
        f"| {row['verb']} | {row['again']} | {row['kills']} | {row['ends']} | {row['seconds']:.0f} | yes |"
        for row in rows
    ]
    return _HEAD + "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
