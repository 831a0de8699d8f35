"""What the fault tests share: one fork server, one set of inputs, and a folder for each test to break commands in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parents[1] / "sources"))  # for the layouts that servers have

from breaking import Breaker
from commands import Commands
from small_inputs import SmallInputs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with Commands(tmp_path_factory.mktemp("commands")) as commands:
        yield commands


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallInputs]:
    with SmallInputs(tmp_path_factory.mktemp("inputs")) as inputs:
        yield inputs


@pytest.fixture
def breaker(commands: Commands, inputs: SmallInputs, tmp_path: Path) -> Breaker:
    return Breaker(commands, inputs, tmp_path)
