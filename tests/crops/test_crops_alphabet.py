"""Alphabet: characters become numbers and back; what is not known is counted, never guessed."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from volumen.crops.alphabet import BLANK, Alphabet, normalized
from volumen.errors import CheckpointError, SettingsError

TEXTS = st.lists(st.text(max_size=20), min_size=1).filter(lambda texts: any(normalized(text) for text in texts))


@given(TEXTS)
def test_texts_that_it_was_taken_from_survive_a_round_trip(texts: list[str]) -> None:
    alphabet = Alphabet.of(texts)
    assert list(alphabet.characters) == sorted({*"".join(map(normalized, texts))})
    for text in texts:
        indices, unknown = alphabet.encode(text)
        assert unknown == 0
        assert all(BLANK < index < alphabet.classes for index in indices)
        assert alphabet.decode(indices) == normalized(text)
    assert Alphabet.from_json(json.loads(json.dumps(alphabet.to_json()))) == alphabet
    assert pickle.loads(pickle.dumps(alphabet)).encode(texts[0]) == alphabet.encode(texts[0])
    assert alphabet.unknown(texts) == {}


def test_one_letter_is_one_character_however_it_was_typed() -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    assert Alphabet.of([composed]) == Alphabet.of([apart])
    assert Alphabet.of([composed]).encode(apart) == Alphabet.of([composed]).encode(composed) == ([2, 1, 3, 4], 0)
    assert Alphabet.of(["a b"]).encode("  a\n\tb ") == ([2, 1, 3], 0)


def test_unknown_characters_are_counted_and_left_out() -> None:
    alphabet = Alphabet.of(["abc"])
    assert alphabet.encode("a§b§\u00e9c") == ([1, 2, 3], 3)
    assert alphabet.unknown(["a§b§", "\u00e9§", "e\u0301"]) == {"§": 3, "\u00e9": 2}
    assert alphabet.encode("§") == ([], 1)
    assert (len(alphabet), alphabet.classes) == (3, 4)


def test_decoding_passes_over_blanks_only() -> None:
    alphabet = Alphabet.of(["abc"])
    assert alphabet.decode([0, 1, 0, 1, 2, 2, 0]) == "aabb"
    assert alphabet.decode(torch.tensor([3, 1])) == "ca"
    for wrong in ([4], [-1], [1, 99]):
        with pytest.raises(SettingsError, match=r"0…3; got"):
            alphabet.decode(wrong)


def test_targets_are_padded_with_blanks() -> None:
    targets, lengths = Alphabet.of(["abc"]).targets(["cab", "", "b§", "aa"])
    assert targets.tolist() == [[3, 1, 2], [0, 0, 0], [2, 0, 0], [1, 1, 0]]
    assert lengths.tolist() == [3, 0, 1, 2]
    assert targets.dtype == lengths.dtype == torch.int64
    assert Alphabet.of(["abc"]).targets([])[0].shape == (0, 0)


@pytest.mark.parametrize("characters", [(), ("b", "a"), ("a", "a"), ("ab",), ("",), ("\t",), ("\u2126",)])
def test_what_is_no_alphabet_is_refused(characters: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"Make it with Alphabet\.of"):
        Alphabet(characters)
    with pytest.raises(CheckpointError):
        Alphabet.from_json(list(characters))


def test_damaged_json_and_texts_without_writing_are_refused() -> None:
    for value in (None, "abc", {"a": 1}, [1, 2]):
        with pytest.raises(CheckpointError, match="Expected an alphabet"):
            Alphabet.from_json(value)
    with pytest.raises(SettingsError, match="the texts are empty"):
        Alphabet.of(["", " \n"])
