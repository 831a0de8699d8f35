"""Families: pretrain, train and compare, whatever it is that is learned; the settings say which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.errors import SettingsError
from volumen.recipes.verbs import load_recipe
from volumen.settings.verbs import verb_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event
    from volumen.settings.base import Settings
    from volumen.settings.compare_apparel import CompareApparel
    from volumen.settings.compare_characters import CompareCharacters
    from volumen.settings.compare_handwriting import CompareHandwriting
    from volumen.settings.compare_ink import CompareInk
    from volumen.settings.finetune import Finetune
    from volumen.settings.pretrain import PretrainSpark
    from volumen.settings.pretrain_lines import PretrainLines
    from volumen.settings.pretrain_photos import PretrainPhotos
    from volumen.settings.train_reader import TrainReader
    from volumen.settings.train_segmenter import TrainSegmenter
    from volumen.settings.train_tagger import TrainTagger


def pretrain(settings: PretrainSpark | PretrainLines | PretrainPhotos) -> Iterator[Event]:
    """Learn an encoder without labels, by the pretext task whose settings these are.

    `PretrainSpark` learns from segments, see `volumen.recipes.pretrain.pretrain_spark`; `PretrainSeqclr`,
    `PretrainFlip` and the other tasks over text lines, see `volumen.recipes.reading.pretrain.pretrain_lines`;
    `PretrainPhotos` from photographs, see `volumen.recipes.photos.pretrain.pretrain_photos`.

    Parameters
    ----------
    settings
        Those of a task, such as `volumen.settings.PretrainSpark`.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs``, ``scores`` (of the best weights, on what is
        held out) and ``seconds``.

    Raises
    ------
    SourceError, SettingsError, CheckpointError
        The data cannot be read or are too few, the weights to start from do not fit, or settings contradict each
        other or those of the run that they should go on with.
    OutputExistsError
        There is a run already.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.PretrainSpark(segments=("20230827161847.zarr",), out="runs/spark")
    >>> result(pretrain(chosen))["checkpoint"]  # doctest: +SKIP
    """
    yield from _carried_out(settings, "pretrain")


def train(settings: Finetune | TrainReader | TrainSegmenter | TrainTagger) -> Iterator[Event]:
    """Learn a task from labels, from random or from pretrained weights; which task the settings say.

    `TrainReader` reads text lines, see `volumen.recipes.reading.train.train_reader`; `TrainSegmenter` finds what is
    marked in photographs, see `volumen.recipes.photos.segmenter.train_segmenter`; `TrainTagger` tells what is in
    them, see `volumen.recipes.photos.tagger.train_tagger`; `Finetune` finds ink, as `finetune` does.

    Parameters
    ----------
    settings
        Those of a task, such as `volumen.settings.TrainReader`.

    Yields
    ------
    Event
        The last is `Finished` with ``run``, ``checkpoint``, ``epochs``, ``scores`` (of the best weights, on what is
        held out) and ``seconds``.

    Raises
    ------
    SourceError, LabelError, SettingsError, CheckpointError
        The data cannot be read, there is nothing to learn from, the weights to start from do not fit, or settings
        contradict each other or those of the run that they should go on with.
    OutputExistsError
        There is a run already.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.TrainReader(lines=("lines.tsv",), encoder="runs/seqclr", out="runs/reader")
    >>> result(train(chosen))["scores"]  # doctest: +SKIP
    """
    yield from _carried_out(settings, "train", "finetune")


def compare(settings: CompareInk | CompareHandwriting | CompareCharacters | CompareApparel) -> Iterator[Event]:
    """Train the same task in several ways, over several seeds, and put all into one table.

    `CompareInk` finds ink, see `volumen.recipes.compare_ink.compare_ink`; `CompareHandwriting` reads lines of text,
    see `volumen.recipes.compare_handwriting.compare_handwriting`; `CompareCharacters` finds characters in photographs,
    see `volumen.recipes.compare_characters.compare_characters`; `CompareApparel` tells tags of photographs and finds
    what is like them, see `volumen.recipes.compare_apparel.compare_apparel`. A comparison that was stopped or killed
    goes on when the same settings are given again.

    Parameters
    ----------
    settings
        Those of a comparison, such as `volumen.settings.CompareInk`.

    Yields
    ------
    Event
        `Started` with the number of runs, then the events of every run, a `Saved` after each; the last is `Finished`
        with ``report``, ``table``, ``comparison`` (paths), ``runs``, ``scores``, ``differences`` (a dictionary for
        each row) and ``seconds``.

    Raises
    ------
    SettingsError
        The comparison at the output path was begun with other settings; the message lists them.
    SourceError, LabelError, CheckpointError
        The data cannot be read, there is nothing to learn from, weights do not fit, or one of these is no longer what
        the comparison was begun with.
    OutputExistsError
        Something else is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.CompareInk(segments=("20230827161847.zarr",), encoder=("spark.safetensors",), out="compared")
    >>> table = result(compare(chosen))["table"]  # doctest: +SKIP
    """
    yield from _carried_out(settings, "compare")


def _carried_out(settings: Settings, *family: str) -> Iterator[Event]:
    verb = verb_of(settings)
    if verb.partition(" ")[0] not in family:
        raise SettingsError(
            f"Expected the settings of a verb of the family {family[0]!r}; got {type(settings).__name__}, which are "
            f"those of `volumen {verb}`."
        )
    return load_recipe(verb)(settings)
