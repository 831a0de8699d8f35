"""Scores of text: Levenshtein's distance by its definition, sums named apart from means, and honest intervals."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from volumen.errors import LabelError, SettingsError
from volumen.evaluation.text import TextCounts, line_edits

TEXT = st.text(alphabet="ab é", max_size=8)
ACCENT = "e\u0301"  # e and a combining acute, two code points


def slow_distance(first, second) -> int:
    """Levenshtein's distance as it is defined, case by case."""

    @cache
    def between(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = between(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(same, between(i - 1, j) + 1, between(i, j - 1) + 1)

    return between(len(first), len(second))


@settings(max_examples=80)
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
def test_scores_are_what_they_say(pairs: list[tuple[str, str]]) -> None:
    written, read = zip(*pairs, strict=True)
    edits = [slow_distance(line, text) for line, text in pairs]
    words = [slow_distance(tuple(line.split()), tuple(text.split())) for line, text in pairs]
    rates = [edit / len(line) for edit, line in zip(edits, written, strict=True) if line]
    scores = TextCounts.of(written, read).scores()
    characters, total_words = sum(map(len, written)), sum(len(line.split()) for line in written)
    nan = float("nan")
    truth = {
        "cer": sum(edits) / characters if characters else nan,
        "cer_mean": sum(rates) / len(rates) if rates else nan,
        "wer": sum(words) / total_words if total_words else nan,
        "word_accuracy": sum(edit == 0 for edit in edits) / len(edits),
        "within_one": sum(edit <= 1 for edit in edits) / len(edits),
    }
    assert scores == pytest.approx(truth, nan_ok=True)
    assert line_edits(written, read).tolist() == edits


def test_one_hand_says_nothing_of_others() -> None:
    counts = TextCounts.of(["ink", "sand"], ["ink", "san"], ["one", "one"])
    assert counts.scores()["cer"] == pytest.approx(1 / 7)
    assert np.isnan(list(counts.intervals(draws=10).values())).all()


def test_corpus_and_mean_differ_by_the_length_of_lines() -> None:
    scores = TextCounts.of(["a", "b" * 9], ["x", "b" * 9]).scores()
    assert scores["cer"] == pytest.approx(0.1)
    assert scores["cer_mean"] == pytest.approx(0.5)


def test_an_accent_counts_the_same_however_it_is_typed() -> None:
    assert ACCENT != "é"
    scores = TextCounts.of([ACCENT, "é"], ["é", "e"]).scores()
    assert scores["word_accuracy"] == 0.5
    assert scores["cer"] == pytest.approx(1 / 2)
    assert line_edits([ACCENT], ["é"]).tolist() == [0]


def test_what_is_read_where_nothing_stands_counts_in_the_corpus() -> None:
    scores = TextCounts.of(["", "abcd"], ["ab", "abcd"]).scores()
    assert scores["cer"] == pytest.approx(2 / 4)
    assert scores["cer_mean"] == 0
    assert np.isnan(TextCounts.of([""], [""]).scores()["cer"])


def hands(count: int = 40, lines: int = 10, *, clustered: bool = True, seed: int = 0):
    """Return lines and readings of hands; clustered, half of the hands are read badly throughout."""
    random = np.random.default_rng(seed)
    written = ["abcdefghij"] * (count * lines)
    hand = np.repeat(np.arange(count), lines)
    wrong = hand % 2 == 0 if clustered else random.random(count * lines) < 0.5
    read = ["abcdeXXXXX" if bad else line for bad, line in zip(wrong, written, strict=True)]
    return written, read, [f"hand {number}" for number in hand]


def test_lines_of_a_hand_are_drawn_together() -> None:
    """Where hands differ, ten lines of one say little more than one: the interval is √10 times as wide."""
    written, read, groups = hands()
    by_hand = TextCounts.of(written, read, groups).intervals(draws=2000)["cer"]
    by_line = TextCounts.of(written, read).intervals(draws=2000)["cer"]
    assert by_hand[0] < 0.25 < by_hand[1]
    ratio = (by_hand[1] - by_hand[0]) / (by_line[1] - by_line[0])
    assert ratio == pytest.approx(10**0.5, rel=0.15)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        bad = random.random(60) < 0.3
        counts = TextCounts.of(["ab"] * 60, ["aX" if wrong else "ab" for wrong in bad])
        low, high = counts.intervals(draws=300, seed=seed)["word_accuracy"]
        held += low <= 0.7 <= high
    assert 0.90 <= held / 200 <= 0.99


def test_draws_of_two_systems_are_pairs() -> None:
    """A system that errs on one line more in every hand is worse in every draw, though the intervals overlap."""
    written, read, groups = hands(clustered=False)
    worse = list(read)
    for start in range(0, len(worse), 10):
        right = next(i for i in range(start, start + 10) if worse[i] == written[i])
        worse[right] = "Xbcdefghij"
    first, second = TextCounts.of(written, read, groups), TextCounts.of(written, worse, groups)
    assert first.intervals()["cer"][1] > second.intervals()["cer"][0]
    assert (second.draws()["cer"] > first.draws()["cer"]).all()


def test_the_order_of_lines_changes_nothing() -> None:
    written, read, groups = hands(clustered=False)
    order = np.random.default_rng(1).permutation(len(written))
    shuffled = [[column[i] for i in order] for column in (written, read, groups)]
    first, second = TextCounts.of(written, read, groups), TextCounts.of(*shuffled)
    assert first.groups == second.groups
    for name, ends in first.intervals().items():
        assert ends == pytest.approx(second.intervals()[name])


def test_a_score_undefined_in_most_draws_has_no_interval() -> None:
    counts = TextCounts.of(["", ""], ["", ""])
    assert np.isnan(counts.intervals()["cer"]).all()
    assert counts.intervals()["word_accuracy"] == (1.0, 1.0)


def test_lines_without_readings_are_refused() -> None:
    with pytest.raises(LabelError, match="2 lines, 1 readings"):
        TextCounts.of(["a", "b"], ["a"])
    with pytest.raises(LabelError, match="0 lines"):
        TextCounts.of([], [])
    with pytest.raises(LabelError, match="3 groups"):
        TextCounts.of(["a"], ["a"], ["x", "y", "z"])
    with pytest.raises(SettingsError, match="at least one draw"):
        TextCounts.of(["a"], ["a"]).draws(draws=0)
