from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.crops.normalize import Normalization
from volumen.errors import CheckpointError, SettingsError, SourceError


def texture(dtype: str, seed: int = 0) -> np.ndarray:
    fractions = np.random.default_rng(seed).normal(0.45, 0.1, (8, 40, 40)).clip(0.01, 1)
    voxels = fractions * (np.iinfo(dtype).max if dtype != "float32" else 1)
    voxels[:, :10] = 0  # outside the papyrus
    return voxels.astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("kind", ["divide", "clip", "percentile", "robust"])
def test_matches_the_slow_formula_and_keeps_zeros(kind: str, dtype: str) -> None:
    voxels = texture(dtype)
    scale = 1 if dtype == "float32" else np.iinfo(dtype).max
    inside = voxels[voxels != 0].astype(np.float64) / scale
    if kind == "divide":
        expected = inside
    elif kind == "clip":
        expected = np.minimum(inside, 200 / 255)
    elif kind == "percentile":
        low, high = np.percentile(inside, (1, 99))
        expected = ((inside - low) / (high - low)).clip(0, 1)
    else:
        middle = np.median(inside)
        reach = 3 * 1.4826 * np.median(np.abs(inside - middle))
        expected = ((inside - middle + reach) / (2 * reach)).clip(0, 1)
    out = Normalization.fit(kind, [voxels[:4], voxels[4:]])(voxels)
    assert out.dtype == np.float32
    assert (out[voxels == 0] == 0).all()
    np.testing.assert_allclose(out[voxels != 0], expected, atol=2e-6)


@pytest.mark.parametrize("kind", ["percentile", "robust"])
def test_eight_and_sixteen_bits_of_one_scan_agree(kind: str) -> None:
    sixteen = texture("uint16")
    eight = (sixteen >> 8).astype(np.uint8)
    a, b = (Normalization.fit(kind, [voxels])(voxels) for voxels in (sixteen, eight))
    inside = eight != 0
    assert np.abs(a - b)[inside].max() < 0.02


@given(st.integers(0, 255), st.integers(0, 254), st.integers(1, 255), st.integers(0, 255))
@settings(max_examples=60)
def test_stays_in_range_and_never_turns_the_order(a: int, low: int, width: int, b: int) -> None:
    high = (low + width) / 255
    normalization = Normalization(kind="percentile", low=low / 255, high=high, ceiling=high)
    first, second = normalization(np.array(sorted((a, b)), np.uint8))
    assert 0 <= first <= second <= 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_papyrus_on_average_stands_where_every_layer_is_zero(dtype: str) -> None:
    voxels = texture(dtype)
    voxels[3, 20, 20] = 0  # a hole in one layer is no void
    plain = Normalization.fit("percentile", [voxels])
    filled = Normalization.fit("percentile", [voxels[:, :20], voxels[:, 20:]], outside="papyrus")
    inside = plain(voxels)[:, 10:]
    out = filled(np.stack([voxels, voxels]))[1]
    np.testing.assert_allclose(out[:, :10], np.broadcast_to(inside.mean((1, 2))[:, None, None], (8, 10, 40)), atol=1e-5)
    np.testing.assert_array_equal(out[:, 10:], inside)
    assert out[3, 20, 20] == 0
    assert Normalization.from_dict(filled.to_dict()) == filled


def test_a_single_layer_keeps_its_zeros_since_they_may_be_ink() -> None:
    line = texture("uint8")[:1]
    assert Normalization.fit("percentile", [line], outside="papyrus") == Normalization.fit("percentile", [line])


def test_round_trip() -> None:
    fitted = Normalization.fit("robust", [texture("uint8")])
    assert Normalization.from_dict(fitted.to_dict()) == fitted
    with pytest.raises(CheckpointError, match="zscore"):
        Normalization.from_dict({"kind": "zscore"})
    with pytest.raises(CheckpointError, match="gamma"):
        Normalization.from_dict({"kind": "divide", "gamma": 2})


def test_nan_stays_visible() -> None:
    out = Normalization()(np.array([0.0, np.nan, 2.0], np.float32))
    assert np.isnan(out[1])
    assert out[2] == 1


def test_bad_samples() -> None:
    with pytest.raises(SourceError, match="every sampled voxel is 0"):
        Normalization.fit("percentile", [np.zeros((4, 4), np.uint8)])
    for kind in ("divide", "clip", "percentile", "robust"):
        with pytest.raises(SourceError, match="every sampled voxel is 0"):
            Normalization.fit(kind, [np.zeros((3, 4, 4), np.uint8)] * 2, outside="papyrus")
    with pytest.raises(SourceError, match="differ"):
        Normalization.fit("robust", [np.full((4, 4), 7, np.uint8)])
    with pytest.raises(SourceError, match="NaN"):
        Normalization.fit("percentile", [np.array([0.5, np.nan], np.float32)])
    with pytest.raises(SettingsError, match=r"to 255\. Use 'percentile'"):
        Normalization.fit("divide", [np.array([3, 255], np.float32)])
    with pytest.raises(SettingsError, match="zscore"):
        Normalization.fit("zscore", [np.ones(3, np.uint8)])
