"""Alphabet: the characters that a reader knows, as numbers; 0 is none of them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from volumen.errors import CheckpointError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

BLANK = 0
"""The index that stands for no character: the blank of CTC, and the end of a text."""


@dataclass(frozen=True)
class Alphabet:
    """Characters and their indices, from 1 on, in the order of their code points.

    A character is a code point of the text's composed form (Unicode NFC), so that é is one however it was typed.
    Make one with `Alphabet.of` from the texts that are learned from, and from no others: what a reader has never seen
    it cannot write, and a score must say so.

    Parameters
    ----------
    characters
        Sorted, each once.

    Raises
    ------
    SettingsError
        If they are not sorted, not single, not composed, or none.

    Examples
    --------
    >>> alphabet = Alphabet.of(["Dec 21", "dear"])
    >>> "".join(alphabet.characters)
    ' 12Dacder'
    >>> alphabet.encode("dead §")
    ([7, 8, 5, 7, 1], 1)
    >>> alphabet.decode([7, 8, 5, 7])
    'dead'
    """

    characters: tuple[str, ...]

    def __post_init__(self) -> None:
        alone = all(
            len(character) == 1 and normalized(f".{character}.") == f".{character}." for character in self.characters
        )
        if not self.characters or not alone or list(self.characters) != sorted({*self.characters}):
            raise SettingsError(
                "An alphabet is single composed characters (NFC), sorted, each once, at least one; "
                f"got {self.characters[:20]}. Make it with Alphabet.of(texts)."
            )

    @classmethod
    def of(cls, texts: Iterable[str]) -> Alphabet:
        """Take every character of some texts.

        Raises
        ------
        SettingsError
            If nothing is written in them.
        """
        characters = {character for text in texts for character in normalized(text)}
        if not characters:
            raise SettingsError("Expected transcripts to take the alphabet from; the texts are empty.")
        return cls(tuple(sorted(characters)))

    @classmethod
    def from_json(cls, value: Any) -> Alphabet:
        """Read what `to_json` returned.

        Raises
        ------
        CheckpointError
            If it is something else.
        """
        if not isinstance(value, list) or not all(isinstance(character, str) for character in value):
            raise CheckpointError(f"Expected an alphabet, a list of characters; got {str(value)[:60]}.")
        try:
            return cls(tuple(value))
        except SettingsError as error:
            raise CheckpointError(f"The alphabet of the checkpoint is damaged: {error}") from error

    def to_json(self) -> list[str]:
        """Return the characters as what JSON can hold."""
        return list(self.characters)

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def classes(self) -> int:
        """Outputs of a reader: the characters, and the blank."""
        return len(self.characters) + 1

    def encode(self, text: str) -> tuple[list[int], int]:
        """Return the indices of a text's known characters, and how many of its characters are not known."""
        found = [self._index.get(character, BLANK) for character in normalized(text)]
        known = [index for index in found if index != BLANK]
        return known, len(found) - len(known)

    def decode(self, indices: Iterable[int]) -> str:
        """Return the text of some indices; blanks write nothing, and repeats stay.

        Raises
        ------
        SettingsError
            If an index lies outside 0…the number of characters.
        """
        wanted = [int(index) for index in indices]
        wrong = [index for index in wanted if not 0 <= index <= len(self.characters)]
        if wrong:
            raise SettingsError(f"Indices of this alphabet are 0…{len(self.characters)}; got {wrong[0]}.")
        return "".join(self.characters[index - 1] for index in wanted if index != BLANK)

    def targets(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return what a decoder learns from texts; unknown characters are left out, count them with `unknown`.

        Returns
        -------
        tuple of Tensor
            Indices int64 (N, L), L the longest, 0 beyond each text's own length; and the lengths, int64 (N,).
        """
        encoded = [self.encode(text)[0] for text in texts]
        lengths = torch.tensor([len(indices) for indices in encoded], dtype=torch.int64)
        indices = torch.full((len(encoded), max(map(len, encoded), default=0)), BLANK, dtype=torch.int64)
        for row, known in zip(indices, encoded, strict=True):
            row[: len(known)] = torch.tensor(known, dtype=torch.int64)
        return indices, lengths

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Count the characters of some texts that are not in the alphabet, most frequent first.

        Examples
        --------
        >>> Alphabet.of(["ab"]).unknown(["abc", "ccd"])
        {'c': 3, 'd': 1}
        """
        counts = Counter(character for text in texts for character in normalized(text) if character not in self._index)
        return dict(counts.most_common())

    @cached_property
    def _index(self) -> dict[str, int]:
        return {character: index for index, character in enumerate(self.characters, start=1)}


def normalized(text: str) -> str:
    r"""Return a text as alphabets take it, and scores should: composed (NFC), no white space but single spaces inside.

    Examples
    --------
    >>> normalized(" cafe\u0301\tnoir ")
    'café noir'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())
