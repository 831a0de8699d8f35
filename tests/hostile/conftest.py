"""The harnesses of ``fuzz/`` for tests: the same doors, the same seeds, the same guard."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"
sys.path.append(str(FUZZ))  # for good: harnesses import one another when they are first needed

from catalogue import module_of  # noqa: E402 - it is found only now
from guard import Guard, bounded_memory  # noqa: E402

if TYPE_CHECKING:
    from harness import Harness


@pytest.fixture(scope="session")
def guards(tmp_path_factory) -> Callable[..., Guard]:
    """Return the guard of a folder; an audit hook stays for good, so that there are only two."""
    folder = tmp_path_factory.mktemp("hostile")
    made = {anywhere: Guard(folder, anywhere=anywhere) for anywhere in (False, True)}
    return lambda *, anywhere: (made[anywhere], folder / "input")


@pytest.fixture
def attempt(guards, monkeypatch) -> Iterator[Callable[[Harness, bytes], BaseException | None]]:
    """Return what reads an input as the fuzzer does, and returns the error that no reader may raise, or None."""
    from attempt import try_once

    monkeypatch.setenv("VOLUMEN_CACHE_GB", "0")

    def tried(harness: Harness, data: bytes) -> BaseException | None:
        guard, folder = guards(anywhere=harness.points_elsewhere)
        return try_once(harness, data, folder, guard)

    with bounded_memory():
        yield tried


@pytest.fixture
def harness() -> Callable[[str], Harness]:
    """Return a harness by its name."""
    return lambda name: import_module(module_of(name)).HARNESSES[name]
