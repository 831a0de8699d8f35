"""A full disk is said in words, leaves nothing half-written for whole, and with room again the output is identical."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from verb_table import EVERY

if TYPE_CHECKING:
    from breaking import Breaker
    from verb import Verb

TIMES = 2


@pytest.mark.parametrize("verb", EVERY)
def test_with_room_again_a_command_goes_on_to_the_identical_output(breaker: Breaker, verb: Verb) -> None:
    changes = breaker.unbroken(verb).changes
    rng = np.random.default_rng(0)
    for full_at in (1, *rng.integers(2, changes + 1, TIMES)):
        ended = breaker.begin_or_go_on(verb, full_at=int(full_at))
        if ended.code == 0:  # it had less left to do than that
            breaker.check_whole()
            breaker.start_over()
            continue
        assert ended.code == 2, (full_at, ended.errors)
        assert "Traceback" not in ended.errors
        assert "full" in ended.errors or "No space left" in ended.errors, ended.errors
        breaker.check_claims(verb)
    breaker.begin_or_go_on(verb).well()
    breaker.check_whole()
