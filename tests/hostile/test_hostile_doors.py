"""Every reader and parser, fed what is as it should be and what is not: a result or an error of ours, nothing else."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogue import MODULES, NAMES

pytestmark = pytest.mark.filterwarnings("ignore")  # what other libraries say of broken files


@pytest.mark.parametrize("name", NAMES)
def test_what_is_as_it_should_be_is_read(name, harness, attempt, tmp_path):
    chosen = harness(name)
    read = 0
    for index, parts in enumerate(chosen.seeds()):
        folder = tmp_path / str(index)
        chosen.lay(folder, parts)
        read += chosen.read(folder)
    if name != "remote zarr" and name != "run folder":
        assert read, "no seed came through the door"


@pytest.mark.parametrize("name", NAMES)
@settings(derandomize=True, database=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_what_is_hostile_is_refused_in_our_words(name, harness, attempt, seed, changes):
    from harness import join
    from mutations import mutate

    chosen, draw = harness(name), random.Random(seed)
    data = join(draw.choice(_seeds(chosen)))
    for _ in range(changes):
        data = mutate(data, 1 << 15, draw, lambda data, most: _plain(data, draw))
    error = attempt(chosen, data)
    if error is not None:
        raise error


_made = {}


def _seeds(chosen):
    if chosen.name not in _made:
        _made[chosen.name] = list(chosen.seeds())
    return _made[chosen.name]


def _plain(data, draw):
    """Cut bytes out, put some in, or turn some over: what knows nothing of forms."""
    start, stop = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    match draw.randrange(3):
        case 0:
            return data[:start] + data[stop:] if draw.random() < 0.5 else data[:start]
        case 1:
            return data[:start] + draw.randbytes(draw.choice([1, 4, 16])) + data[start:]
    return data[:start] + bytes(byte ^ draw.choice([0, 0, 0, 1, 128]) for byte in data[start:stop]) + data[stop:]


def test_every_harness_is_in_the_catalogue(harness):
    for module, names in MODULES.items():
        assert set(names) == set(__import__(module).HARNESSES)
