"""What holds for all tests: none is timed, also not by Hypothesis, and each has a cache of remote data of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

settings.register_profile(  # machines are busy now and then
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache", numbered=True)
    monkeypatch.setenv("VOLUMEN_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def same_threads() -> Iterator[None]:
    """Let torch have one thread, here and in threads begun from here: it adds up in another order with another number.

    Numba, with which napari paints, sets the number for the thread that it is called in, and leaves it there.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
