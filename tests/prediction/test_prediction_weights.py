"""The weights: positive, mirrored, one inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumen.errors import SettingsError
from volumen.prediction.weights import ramp


@given(st.integers(1, 600), st.integers(0, 600))
def test_weights_are_positive_mirrored_and_one_beyond_the_overlap(length: int, overlap: int) -> None:
    weights = ramp(length, overlap)
    assert weights.shape == (length,)
    assert weights.dtype == np.float32
    assert weights.min() > 0
    np.testing.assert_array_equal(weights, weights[::-1])
    assert (weights[overlap : length - overlap] == 1).all()
    assert (np.diff(weights[: (length + 1) // 2]) >= 0).all()


def test_no_overlap_weighs_all_pixels_the_same() -> None:
    assert ramp(5, 0).tolist() == [1, 1, 1, 1, 1]


def test_lengths_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match="got 0 and 4"):
        ramp(0, 4)
