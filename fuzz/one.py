"""Fuzz one parser for some seconds: ``run.py`` starts this program, a process a parser.

libFuzzer, through atheris, makes inputs; branches of Python that they reach for the first time make it keep them. A
fault is kept with its input and the fuzzing goes on.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

from catalogue import WATCHED, module_of
from guard import Guard, bounded_memory
from mutations import mutate
from records import Records

if TYPE_CHECKING:
    from harness import Harness

_LONGEST = 1 << 15  # bytes of an input


def main() -> None:
    """Fuzz the named parser; libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    module = module_of(chosen.name)
    with atheris.instrument_imports(include=["volumen", *WATCHED.get(module, ())]):
        harness: Harness = import_module(module).HARNESSES[chosen.name]
    warnings.simplefilter("ignore")
    logging.disable()
    os.environ["VOLUMEN_CACHE_GB"] = "0"  # an answer is read as often as it is given
    records = Records(chosen.folder)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        with bounded_memory():  # what is imported is there already
            _fuzz(harness, records, folder, chosen.seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fuzz(harness: Harness, records: Records, folder: Path, seconds: int) -> None:
    from attempt import try_once  # with volumen, so not before it is instrumented
    from harness import join

    guard = Guard(folder, anywhere=harness.points_elsewhere)

    def attempt(data: bytes) -> BaseException | None:
        return try_once(harness, data, folder / "input", guard)

    seeds = [join(parts) for parts in harness.seeds()]
    for seed in seeds:  # what is imported when it is needed is imported now
        attempt(seed)
    count = records.count()
    count.open = sum(attempt(data) is not None for _, data in records.faults())
    records.write(count)
    for index, seed in enumerate(seeds):
        (records.corpus / f"seed-{index}").write_bytes(seed)

    def test(data: bytes) -> None:
        error = attempt(data)
        if error is not None and records.keep(data, error):
            count.open += 1
            records.write(count)
            print(f"fault: {type(error).__name__}: {error}"[:200], file=sys.stderr, flush=True)

    def custom(data: bytes, most: int, seed: int) -> bytes:
        return mutate(bytes(data), most, random.Random(seed), atheris.Mutate)

    flags = {
        "max_total_time": seconds,
        "max_len": _LONGEST,
        "timeout": 60,
        "rss_limit_mb": 0,
        "print_final_stats": 1,
        "artifact_prefix": f"{records.crashes}/hang-",
    }
    words = records.folder / "words.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in harness.words))
    options = [f"-{name}={value}" for name, value in flags.items()]
    options += [f"-dict={words}"] if harness.words else []
    atheris.Setup([sys.argv[0], *options, str(records.corpus)], test, custom_mutator=custom)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    main()
