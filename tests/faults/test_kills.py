"""Killed with -9 at any moment, every command that writes goes on and ends with what an unbroken run ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from verb_table import EVERY, VERBS

if TYPE_CHECKING:
    from breaking import Breaker
    from verb import Verb

KILLS, MANY = 2, 20


@pytest.mark.parametrize("verb", EVERY)
def test_a_killed_command_goes_on_to_the_identical_output(breaker: Breaker, verb: Verb) -> None:
    breaker.break_often(verb, KILLS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verb", [pytest.param(verb, id=verb.name) for verb in VERBS])
def test_a_command_killed_often_goes_on_to_the_identical_output(breaker: Breaker, verb: Verb) -> None:
    breaker.break_often(verb, MANY, seed=1)
