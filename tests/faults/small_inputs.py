"""Small inputs for every command, made when they are first asked for, and the models that some of them need."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import tifffile
import torch
from PIL import Image, ImageDraw, ImageFont
from remote_layouts import ID, lay_dev_zarr

from http_server import serving
from volumen.crops.alphabet import Alphabet
from volumen.events import result
from volumen.models.checkpoint import save_checkpoint, save_encoder
from volumen.models.reader_checkpoint import save_reader
from volumen.models.recognizer.reader import Reader
from volumen.models.recognizer.recognizer import Recognizer
from volumen.models.segmenters import build_segmenter
from volumen.models.unet import build_encoder, build_unet
from volumen.recipes.finding.index import index
from volumen.recipes.finetune import finetune
from volumen.recipes.infer import predict
from volumen.settings import Finetune, Index, Phantom, Predict
from volumen.settings.job_file import JobFile
from volumen.sources.synthetic.phantom import make_phantom

if TYPE_CHECKING:
    from pathlib import Path

ENCODER = "tu-test_resnet"  # 0.4 M weights
INK = {"layers": 8, "window": 64, "encoder_name": ENCODER, "batch": 8, "views": "flips", "device": "cpu"}
_LAYERS, _LINE_HEIGHT, _WIDTH = 8, 32, 1 / 16
_COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 210)}
_WORDS = "ink papyrus scroll letter dear seeds ferns orchid garden rain plate moss root leaf stem bark".split()  # noqa: SIM905


class SmallInputs:
    """What commands read, each a path below one folder.

    Parameters
    ----------
    folder
        Where they are, or will be.
    """

    remote_id = ID
    """Segment that a server has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def served(self) -> str:
        """Address of a server that has a segment."""
        lay_dev_zarr(folder := self._made("served"))
        return self._open.enter_context(serving(folder)).url

    @cached_property
    def segment(self) -> str:
        """A segment of 8 × 192 × 384 voxels with ink on it."""
        return self._phantom("segment", (192, 384))

    @cached_property
    def wide(self) -> str:
        """A segment that is four blocks of a map wide."""
        return self._phantom("wide", (256, 1600))

    @cached_property
    def voxels(self) -> str:
        """A volume without labels, of many chunks."""
        path = self._folder / "voxels.npy"
        z, y, x = np.indices((12, 192, 256))
        noise = np.random.default_rng(0).normal(0, 6, z.shape)
        np.save(path, (128 + 40 * np.sin(y / 3 + z) + 40 * np.sin(x / 5) + noise).clip(1, 255).astype(np.uint8))
        return str(path)

    @cached_property
    def layers(self) -> str:
        """A volume as a folder of TIFF layers."""
        folder = self._made("layers")
        for number, layer in enumerate(np.load(self.voxels)):
            tifffile.imwrite(folder / f"{number:02}.tif", layer)
        return str(folder)

    @cached_property
    def stack(self) -> str:
        """A volume as one TIFF of many pages."""
        path = self._folder / "stack.tif"
        tifffile.imwrite(path, np.load(self.voxels), compression="zlib")
        return str(path)

    @cached_property
    def label(self) -> str:
        """An ink label of the segment as a picture."""
        path, ink = self._folder / "label.png", np.zeros((192, 384), np.uint8)
        ink[40:90, 20:300] = 255
        Image.fromarray(ink).save(path)
        return str(path)

    @cached_property
    def words(self) -> str:
        """A list of images of words, by eight hands, parted by the list."""
        folder = self._made("words")
        rows = ["file\ttext\twriter\tsplit"]
        for number, text in enumerate(_WORDS):
            image = Image.new("L", (int(ImageFont.load_default(24).getlength(text)) + 12, 40), 215)
            ImageDraw.Draw(image).text((6, 4), text, fill=40, font=ImageFont.load_default(24))
            image.save(folder / f"{number:02}.png")
            split = ("train", "train", "val", "test")[number % 4]
            rows.append(f"{number:02}.png\t{text}\thand{number % 8}\t{split}")
        (folder / "words.tsv").write_text("\n".join(rows) + "\n")
        return str(folder / "words.tsv")

    @cached_property
    def photos(self) -> str:
        """A table of photographs of coloured bars, with masks and tags."""
        folder, rng = self._made("photos"), np.random.default_rng(0)
        rows = ["image,mask,labels"]
        for number in range(24):
            image, mask = Image.fromarray(rng.integers(90, 130, (48, 40, 3), np.uint8)), Image.new("L", (40, 48))
            tags = [name for place, name in enumerate(_COLOURS) if number >> place & 1]
            for value, name in enumerate(tags, start=1):
                left = int(rng.integers(0, 30))
                for picture, colour in ((image, _COLOURS[name]), (mask, value)):
                    ImageDraw.Draw(picture).rectangle((left, 4, left + 9, 43), fill=colour)
            image.save(folder / f"{number:02}.png")
            mask.save(folder / f"m{number:02}.png")
            rows.append(f"{number:02}.png,m{number:02}.png,{'|'.join(['bars', *tags])}")
        (folder / "labels.csv").write_text("\n".join(rows) + "\n")
        return str(folder / "labels.csv")

    @cached_property
    def photograph(self) -> str:
        """A photograph of several blocks of a map."""
        path = self._folder / "photograph.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (160, 1100, 3), np.uint8)).save(path)
        return str(path)

    @cached_property
    def model(self) -> str:
        """A model of ink that never learned."""
        path, header = self._folder / "model.safetensors", {"normalization": {"kind": "divide"}}
        torch.manual_seed(0)
        save_checkpoint(path, build_unet(ENCODER, _LAYERS), {**header, "layer_count": _LAYERS, "surface_offset": -4})
        return str(path)

    @cached_property
    def photo_model(self) -> str:
        """A model of what is marked in photographs, that never learned."""
        path, header = self._folder / "photo_model.safetensors", {"layer_count": 3, "surface_offset": -1}
        torch.manual_seed(0)
        said = {"normalization": {"kind": "divide"}, "input_size": [64, 64], "photos": {"fit": "crop"}}
        save_checkpoint(path, build_segmenter("simple_segnet", width=1 / 8), {**header, **said})
        return str(path)

    @cached_property
    def encoder(self) -> str:
        """An encoder of ink that never learned."""
        path, made_of = self._folder / "encoder.safetensors", {"encoder_name": ENCODER, "in_channels": _LAYERS}
        torch.manual_seed(1)
        save_encoder(path, build_encoder(**made_of), made_of, {"layer_count": _LAYERS, "pretext": "spark"})
        return str(path)

    @cached_property
    def recogniser(self) -> str:
        """The encoder of a reader, that never learned."""
        path, form = self._folder / "pupil-0.safetensors", {"height": _LINE_HEIGHT, "width": None}
        torch.manual_seed(2)
        recogniser = Recognizer(_WIDTH)
        save_encoder(path, recogniser, recogniser.architecture, {"pretext": "flip", "form": form})
        return str(path)

    @cached_property
    def reader(self) -> str:
        """A reader that never learned."""
        path, alphabet = self._folder / "reader.safetensors", Alphabet(tuple(sorted(set(" ".join(_WORDS)))))
        torch.manual_seed(3)
        form = {"height": _LINE_HEIGHT, "width": None, "widest": 8192, "stretched": True}
        reader = Reader(alphabet.classes, decoder="ctc", width=_WIDTH)
        save_reader(path, reader, {"alphabet": alphabet.to_json(), "form": form})
        return str(path)

    @cached_property
    def run(self) -> str:
        """A finished run of ``volumen finetune``."""
        out = str(self._folder / "run")
        result(finetune(Finetune(segments=(self.segment,), out=out, epochs=1, **INK)))
        return out

    @cached_property
    def map(self) -> str:
        """The ink map that the run makes of its segment."""
        out = str(self._folder / "ink.zarr")
        asked = Predict(checkpoint=self.run, segment=self.segment, out=out, tile=128, overlap=32, device="cpu")
        result(predict(asked))
        return out

    @cached_property
    def index(self) -> str:
        """An index of the segment."""
        out = str(self._folder / "index")
        result(index(Index(segments=(self.segment,), encoder=self.encoder, out=out, stage=3, device="cpu")))
        return out

    def job(self, verb: str, settings: object) -> str:
        """Write a job file, as a window does."""
        folder = self._made("job")
        JobFile(verb, settings).write(folder)
        return str(folder)

    def _phantom(self, name: str, size: tuple[int, int]) -> str:
        path = str(self._folder / f"{name}.zarr")
        result(make_phantom(Phantom(out=path, size=size, layers=_LAYERS, seed=1, ink_share=0.2)))
        return path

    def _made(self, name: str) -> Path:
        (self._folder / name).mkdir(exist_ok=True)
        return self._folder / name
