"""LineSplit: no writer on two sides, shares as near as groups allow, and small shares inside larger ones."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from volumen.crops.line_splits import given_split, share_of_lines, split_by
from volumen.errors import SettingsError
from volumen.sources.arrays.recent import Recent
from volumen.sources.lines.line import Line, open_lines
from volumen.sources.location import Location

if TYPE_CHECKING:
    from collections.abc import Sequence

HANDWRITING = Path(__file__).parents[3] / "shared" / "data" / "handwriting"


def make(writers: Sequence[str], splits: Sequence[str] = ()) -> list[Line]:
    """Make lines of some writers, without images."""
    return [
        Line(
            name=str(index),
            location=Location(f"{index}.png"),
            writer=writer,
            page=f"{writer} {index // 4}",
            split=split,  # type: ignore[arg-type]
            recent=Recent(0),
        )
        for index, (writer, split) in enumerate(zip(writers, splits or [""] * len(writers), strict=True))
    ]


def many(seed: int = 0) -> list[Line]:
    """500 lines by 40 writers, some of whom wrote much."""
    weights = np.random.default_rng(seed).dirichlet(np.full(40, 2.0))
    return make([f"w{writer}" for writer in np.random.default_rng(seed + 1).choice(40, 500, p=weights)])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("group", ["writer", "page"])
def test_groups_stay_together_and_shares_are_near(seed: int, group: str) -> None:
    lines = many()
    split = split_by(lines, group, val=0.15, test=0.25, seed=seed)  # type: ignore[arg-type]
    assert sorted((*split.train, *split.val, *split.test), key=lambda line: int(line.name)) == lines
    assert split.shared(group) == ()  # type: ignore[arg-type]
    largest = max(Counter(getattr(line, group) for line in lines).values())
    for part, share in ((split.val, 0.15), (split.test, 0.25)):
        assert abs(len(part) - share * len(lines)) <= largest / 2, "no group is left that would bring it nearer"
        assert [int(line.name) for line in part] == sorted(int(line.name) for line in part)


def test_the_seed_alone_decides() -> None:
    lines = many()
    held_out = [tuple(line.name for line in split_by(lines, "writer", seed=seed).test) for seed in (0, 1, 2, 0)]
    assert held_out[0] == held_out[3]
    assert len({*held_out}) == 3
    assert split_by(lines, "writer", val=0, seed=1).val == ()


def test_every_part_that_is_wanted_gets_a_group() -> None:
    for seed in range(5):
        split = split_by(make(["a"] * 50 + ["b"] * 40 + ["c"] * 30), "writer", val=0.01, test=0.01, seed=seed)
        assert [len(part) for part in (split.train, split.val, split.test)] == [50, 40, 30]
        for val, test in ((0.4, 0.5), (0.05, 0.9), (0.9, 0.05)):
            split = split_by(make(["a"] * 5 + ["b"] * 5 + ["c"] * 5), "writer", val=val, test=test, seed=seed)
            assert [len(part) for part in (split.train, split.val, split.test)] == [5, 5, 5]


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(SettingsError, match="3 of writer for 3 parts; the 4 lines have 2"):
        split_by(make(["a", "a", "b", "b"]), "writer")
    with pytest.raises(SettingsError, match=r"with a writer, .* 1 of 3 have none"):
        split_by(make(["a", "", "b"]), "writer")
    for val, test in ((0.5, 0.5), (-0.1, 0.5)):
        with pytest.raises(SettingsError, match="leave some to learn from"):
            split_by(many(), "writer", val=val, test=test)


def test_the_list_s_own_split_is_taken_and_what_leaks_is_named() -> None:
    lines = make(["a", "b", "b", "c", "a", ""], ["train", "val", "test", "", "val", "test"])
    split = given_split(lines)
    assert [[line.name for line in part] for part in (split.train, split.val, split.test)] == [
        ["0", "3"],
        ["1", "4"],
        ["2", "5"],
    ]
    assert split.shared("writer") == ("a", "b")
    with pytest.raises(SettingsError, match="none has one"):
        given_split(make(["a"]))


def test_shares_are_nested_and_of_the_right_size() -> None:
    lines = many()
    shares = (0.001, 0.05, 0.1, 0.5, 1.0)
    for seed in range(4):
        kept = [share_of_lines(lines, share, seed=seed) for share in shares]
        assert [len(part) for part in kept] == [1, 25, 50, 250, 500]
        for smaller, larger in pairwise(kept):
            assert {line.name for line in smaller} < {line.name for line in larger}
            assert [int(line.name) for line in smaller] == sorted(int(line.name) for line in smaller)
        assert kept[-1] == tuple(lines)
    assert share_of_lines(lines, 0.1, seed=0) != share_of_lines(lines, 0.1, seed=1)
    for share in (0, -0.1, 1.1):
        with pytest.raises(SettingsError, match="label share lies in"):
            share_of_lines(lines, share, seed=0)


@pytest.mark.skipif(not HANDWRITING.exists(), reason="the real handwriting is not beside the repository")
def test_real_words_are_split_by_letter() -> None:
    lines = open_lines(HANDWRITING / "words.tsv")
    given = given_split(lines)
    assert [len(part) for part in (given.train, given.val, given.test)] == [9226, 1874, 804]
    assert given.shared("writer") == given.shared("page") == ()
    ours = split_by(lines, "writer", val=0.1, test=0.1)
    assert ours.shared("writer") == ours.shared("page") == ()
    assert len(ours.test) / len(lines) == pytest.approx(0.1, abs=0.01)
