from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumen.errors import SettingsError
from volumen.training.stopping import Stopping

scores = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=12)


@given(scores, st.sampled_from(["auc", "loss"]), st.integers(0, 4))
def test_best_is_the_first_extreme_of_the_finite_scores(values: list[float], score: str, patience: int) -> None:
    stopping = Stopping(score=score, patience=patience)
    improved = []
    for epoch, value in enumerate(values, start=1):
        stopping = stopping.update(epoch, {score: value, "other": 1.0})
        improved += [epoch] if stopping.improved else []
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        best = (min if score == "loss" else max)(finite)
        assert stopping.best == best
        assert stopping.best_epoch == next(i for i, value in enumerate(values, start=1) if value == best)
    else:
        assert stopping.best is None
        assert stopping.best_epoch == 1
    assert improved[-1] == stopping.best_epoch
    assert stopping.waited == len(values) - stopping.best_epoch
    assert stopping.exhausted == (patience > 0 and stopping.waited >= patience)
    assert Stopping(**stopping.to_dict()) == stopping


def test_missing_score_names_those_there() -> None:
    with pytest.raises(SettingsError, match="auc, loss; got 'dice'"):
        Stopping(score="dice").update(1, {"loss": 1.0, "auc": 0.5})
