"""Which settings each verb takes: the one list that the command line, job files and forms share."""

from __future__ import annotations

from volumen.errors import SettingsError
from volumen.settings.base import Settings
from volumen.settings.boxes import Boxes
from volumen.settings.check import Check
from volumen.settings.compare_apparel import CompareApparel
from volumen.settings.compare_characters import CompareCharacters
from volumen.settings.compare_handwriting import CompareHandwriting
from volumen.settings.compare_ink import CompareInk
from volumen.settings.convert import Convert
from volumen.settings.demo import Demo
from volumen.settings.download import Download
from volumen.settings.evaluate import Evaluate
from volumen.settings.finetune import Finetune
from volumen.settings.index import Index
from volumen.settings.listing import Listing
from volumen.settings.phantom import Phantom
from volumen.settings.predict import Predict
from volumen.settings.pretrain import PretrainSpark
from volumen.settings.pretrain_lines import (
    PretrainFlip,
    PretrainJigsaw,
    PretrainReconstruction,
    PretrainRotation,
    PretrainSeqclr,
    PretrainSorting,
)
from volumen.settings.pretrain_photos import PretrainPhotos
from volumen.settings.read import Read
from volumen.settings.report import Report
from volumen.settings.rerun import Rerun
from volumen.settings.resume import Resume
from volumen.settings.search import Search
from volumen.settings.suggest import Suggest
from volumen.settings.train_reader import TrainReader
from volumen.settings.train_segmenter import TrainSegmenter
from volumen.settings.train_tagger import TrainTagger

VERBS: dict[str, type[Settings]] = {
    "demo": Demo,
    "list": Listing,
    "download": Download,
    "check": Check,
    "convert": Convert,
    "phantom": Phantom,
    "pretrain spark": PretrainSpark,
    "pretrain seqclr": PretrainSeqclr,
    "pretrain rotation": PretrainRotation,
    "pretrain flip": PretrainFlip,
    "pretrain jigsaw": PretrainJigsaw,
    "pretrain sorting": PretrainSorting,
    "pretrain reconstruction": PretrainReconstruction,
    "pretrain photos": PretrainPhotos,
    "finetune": Finetune,
    "train reader": TrainReader,
    "train segmenter": TrainSegmenter,
    "train tagger": TrainTagger,
    "compare ink": CompareInk,
    "compare handwriting": CompareHandwriting,
    "compare apparel": CompareApparel,
    "compare characters": CompareCharacters,
    "resume": Resume,
    "predict": Predict,
    "evaluate": Evaluate,
    "boxes": Boxes,
    "index": Index,
    "search": Search,
    "suggest": Suggest,
    "read": Read,
    "report": Report,
    "run": Rerun,
}
"""Settings by verb, in the order in which the command line lists them."""


def verb_of(settings: Settings) -> str:
    """Return the verb that takes settings of this kind.

    Examples
    --------
    >>> verb_of(Resume(run="runs/first"))
    'resume'

    Raises
    ------
    SettingsError
        No verb does.
    """
    for verb, kind in VERBS.items():
        if kind is type(settings):
            return verb
    raise SettingsError(f"Expected the settings of a verb; got {type(settings).__name__}.")
