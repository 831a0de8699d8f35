"""Exact search against a slow reference, with ties, chunks, memory maps and FAISS."""

import importlib.util

import numpy as np
import pytest

from volumen.errors import DivergedError, MissingExtraError, SettingsError
from volumen.evaluation.nearest import nearest

FAISS = importlib.util.find_spec("faiss") is not None
needs_faiss = pytest.mark.skipif(not FAISS, reason="faiss-cpu is not installed: pip install 'volumen[search]'")
ENGINES = ["numpy", pytest.param("faiss", marks=needs_faiss)]


def slow(vectors, queries, k):
    """Sort all distances, one query after the other, equals in the order given."""
    index, distance = [], []
    for query in queries.astype(np.float64):
        far = [sum((float(a) - b) ** 2 for a, b in zip(row, query, strict=True)) ** 0.5 for row in vectors]
        order = sorted(range(len(far)), key=lambda i: (far[i], i))[:k]
        index.append(order)
        distance.append([far[i] for i in order])
    return np.array(index), np.array(distance)


class ReadOnce:
    """Vectors that count how many were held at once and refuse to be read twice."""

    def __init__(self, rows):
        self.rows, self.shape, self.most, self.read = rows, rows.shape, 0, 0

    def __getitem__(self, key):
        assert key.start == self.read
        part = self.rows[key]
        self.most, self.read = max(self.most, len(part)), self.read + len(part)
        return part


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("chunk", [None, 1, 7, 64, 1000])
def test_every_chunk_and_engine_agrees_with_sorting_everything(engine, chunk):
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(150, 5)).astype(np.float32), rng.normal(size=(23, 5))
    index, distance = slow(vectors, queries, 9)
    found = nearest(vectors, queries, 9, engine=engine, chunk=chunk)
    assert np.array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("chunk", [3, 40, 500])
def test_of_equals_the_first_comes_first(engine, chunk):
    rng = np.random.default_rng(1)
    vectors = rng.integers(0, 3, size=(400, 3)).astype(np.float16)  # 27 different points
    queries = np.concatenate([vectors[:11], rng.integers(0, 3, size=(14, 3)).astype(np.float16)])
    index, distance = slow(vectors, queries, 30)
    found = nearest(vectors, queries, 30, engine=engine, chunk=chunk)
    assert np.array_equal(found.index, index)
    assert np.array_equal(found.distance, distance)


@pytest.mark.parametrize("engine", ENGINES)
def test_small_differences_far_from_zero_are_ranked_right(engine):
    # |a|² + |b|² - 2ab loses all digits here: in float32 by far, in float64 for the last ones
    rng = np.random.default_rng(2)
    vectors = 1e6 + rng.normal(size=(300, 8)) * np.geomspace(1e-6, 1, 300)[:, None]
    queries = np.full((2, 8), 1e6)
    index, distance = slow(vectors, queries, 40)
    found = nearest(vectors, queries, 40, engine=engine, chunk=90)
    assert np.array_equal(found.index, index)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_values_beyond_float32_are_searched_too(engine):
    vectors = np.geomspace(1e-3, 1e30, 60)[:, None]
    assert nearest(vectors, np.array([[0.0]]), 50, engine=engine).index[0].tolist() == list(range(50))


def test_vectors_are_read_once_a_chunk_at_a_time(tmp_path):
    rng = np.random.default_rng(3)
    np.save(tmp_path / "vectors.npy", rng.normal(size=(1000, 4)).astype(np.float16))
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    watched = ReadOnce(mapped)
    found = nearest(watched, mapped[[5, 999]], 3, chunk=64)
    assert (watched.most, watched.read) == (64, 1000)
    assert found.index[:, 0].tolist() == [5, 999]
    assert found.distance[:, 0].tolist() == [0, 0]


def test_no_query_finds_nothing_and_all_may_be_asked_for():
    vectors = np.arange(4.0)[:, None]
    assert nearest(vectors, np.empty((0, 1)), 2).index.shape == (0, 2)
    assert nearest(vectors, np.array([[3.1]]), 4).index.tolist() == [[3, 2, 1, 0]]


@pytest.mark.parametrize(
    ("vectors", "queries", "k", "says"),
    [
        (np.zeros((3, 2)), np.zeros((1, 3)), 1, r"\(3, 2\) and \(1, 3\)"),
        (np.zeros(3), np.zeros((1, 3)), 1, "shapes"),
        (np.zeros((3, 2)), np.zeros((1, 2)), 4, r"1…3.* got 4"),
        (np.zeros((3, 2)), np.zeros((1, 2)), 0, "got 0"),
    ],
)
def test_what_does_not_fit_is_refused(vectors, queries, k, says):
    with pytest.raises(SettingsError, match=says):
        nearest(vectors, queries, k)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_refused(bad):
    with pytest.raises(DivergedError, match="a vector holds NaN"):
        nearest(np.array([[0.0], [bad]]), np.array([[0.0]]), 1)
    with pytest.raises(DivergedError, match="a query holds NaN"):
        nearest(np.array([[0.0]]), np.array([[bad]]), 1)


def test_faiss_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"volumen\[search\]"):
        nearest(np.zeros((2, 1)), np.zeros((1, 1)), 1, engine="faiss")
