"""Rates count what was done now, and time is said as a person says it."""

from __future__ import annotations

import pytest

from volumen.pace import Pace, in_words


def test_a_resumed_part_counts_only_what_was_done_now() -> None:
    pace = Pace.begin(100.0).advance(501, 1000, now=130.0)
    assert pace.rate == 0
    assert pace.seconds_left is None
    assert pace.rate_in_words("steps") == ""
    pace = pace.advance(511, 1000, now=135.0)
    assert pace.rate == pytest.approx(2.0)
    assert pace.seconds_left == pytest.approx(244.5)


def test_a_part_from_the_start_counts_all_its_time() -> None:
    pace = Pace.begin(0.0).advance(1, 10, now=4.0)
    assert (pace.rate, pace.seconds_left, pace.rate_in_words("tiles")) == (0.25, 36.0, "15 tiles/min")
    assert pace.advance(10, 10, now=5.0).seconds_left == 0
    assert pace.advance(10, 10, now=5.0).rate_in_words("steps") == "2 steps/s"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "1 s"), (119, "119 s"), (120, "2 min"), (3599, "60 min"), (3660, "1 h 1 min")]
)
def test_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
