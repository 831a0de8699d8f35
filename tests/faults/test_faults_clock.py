"""A clock that jumps by days: the output is identical, and what is told of time is what has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from verb_table import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from breaking import Breaker
    from verb import Verb

LONGEST_S = 3600


def times(told: Any) -> Iterator[float]:
    """Yield every duration and rate, at any depth."""
    for name, value in told.items() if isinstance(told, dict) else enumerate(told):
        if isinstance(value, dict | list):
            yield from times(value)
        elif "seconds" in str(name) or "per_second" in str(name):
            yield value


@pytest.mark.parametrize("verb", EVERY)
def test_a_clock_that_jumps_changes_nothing(breaker: Breaker, verb: Verb) -> None:
    breaker.unbroken(verb)
    ended = breaker.begin_or_go_on(verb, jumps=True).well()
    breaker.check_whole()
    told = [seconds for event in ended.events for seconds in times(event)]
    assert all(seconds >= 0 for seconds in told)
    result = ended.events[-1]["result"]
    assert 0 <= result.get("seconds", 0) < LONGEST_S
