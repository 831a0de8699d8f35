"""The same command in another process, with another hash seed, leaves the same bytes; with workers too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import Commands
from verb_table import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from breaking import Breaker
    from verb import Verb


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Another fork server: what it starts has nothing in common with what ran before."""
    with Commands(tmp_path_factory.mktemp("elsewhere")) as commands:
        yield commands


@pytest.mark.parametrize("verb", EVERY)
def test_a_command_leaves_the_same_twice(breaker: Breaker, elsewhere: Commands, verb: Verb) -> None:
    breaker.unbroken(verb)
    elsewhere.run(verb.begins(breaker.inputs, breaker.home / verb.out), breaker.home).well()
    breaker.check_whole()
