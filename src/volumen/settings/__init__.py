"""What every verb can be told: one frozen model a verb, the one home of names, defaults, bounds and help."""

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

__all__ = [
    "Boxes",
    "Check",
    "CompareApparel",
    "CompareCharacters",
    "CompareHandwriting",
    "CompareInk",
    "Convert",
    "Demo",
    "Download",
    "Evaluate",
    "Finetune",
    "Index",
    "Listing",
    "Phantom",
    "Predict",
    "PretrainFlip",
    "PretrainJigsaw",
    "PretrainPhotos",
    "PretrainReconstruction",
    "PretrainRotation",
    "PretrainSeqclr",
    "PretrainSorting",
    "PretrainSpark",
    "Read",
    "Report",
    "Rerun",
    "Resume",
    "Search",
    "Suggest",
    "TrainReader",
    "TrainSegmenter",
    "TrainTagger",
]
