"""Out of memory, as a CUDA device says it: batches are halved and the work is done, or the error names the cure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from verb_table import VERBS

if TYPE_CHECKING:
    from breaking import Breaker
    from verb import Verb

HALVED = ("finetune",)
ONE = (
    "finetune",
    "train reader",
    "train tagger",
    "train segmenter",
    "pretrain spark",
    "pretrain seqclr",
    "index",
    "read",
)


def named(names: tuple[str, ...]) -> list[Any]:
    return [pytest.param(verb, id=verb.name) for verb in VERBS if verb.name in names]


@pytest.mark.parametrize("verb", named(HALVED))
def test_batches_are_halved_until_they_fit(breaker: Breaker, verb: Verb) -> None:
    breaker.home.mkdir(parents=True)
    ended = breaker.begin_or_go_on(verb, most_samples=3).well()
    assert any("memory" in event["message"] for event in ended.events if event["event"] == "warned")
    assert verb.claims(breaker.home / verb.out)


@pytest.mark.parametrize("verb", named(ONE))
def test_no_room_for_one_sample_is_an_error_with_a_cure(breaker: Breaker, verb: Verb) -> None:
    breaker.home.mkdir(parents=True)
    ended = breaker.begin_or_go_on(verb, most_samples=0)
    assert ended.code == 2, ended.errors or ended.out[-300:]
    assert "Traceback" not in ended.errors
    assert "memory" in ended.errors.lower()
    assert not verb.claims(breaker.home / verb.out)
