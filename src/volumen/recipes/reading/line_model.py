"""LineModel: a trained reader of text lines, ready to use on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from volumen.crops.alphabet import Alphabet
from volumen.crops.line_images import LineForm
from volumen.errors import CheckpointError, SettingsError
from volumen.models.reader_checkpoint import load_reader
from volumen.models.recognizer.ctc import CtcDecoder
from volumen.prediction.forward import REDUCED
from volumen.run_folder import weights_file
from volumen.training.devices import pick_device

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from volumen.crops.line_images import LineBatch
    from volumen.models.recognizer.decoder import Reading
    from volumen.models.recognizer.reader import Reader
    from volumen.training.devices import Device, Precision


@dataclass(frozen=True, kw_only=True, eq=False)
class LineModel:
    """What `volumen.prediction.transcribe.transcribe` calls.

    Parameters
    ----------
    reader
        On the device, in evaluation mode.
    alphabet
        What its indices mean.
    form
        The size that it was taught to read at.
    header
        What the checkpoint says about itself, see `volumen.models.checkpoint.Header`.
    device
        Where it computes.
    precision
        Number format of the arithmetic: 32, bf16 or 16.
    """

    reader: Reader
    alphabet: Alphabet
    form: LineForm
    header: Mapping[str, Any]
    device: str
    precision: str

    def __call__(self, lines: LineBatch, /) -> list[Reading]:
        """Read lines."""
        reduced = REDUCED.get(self.precision)
        with torch.inference_mode(), torch.autocast(self.device, reduced, reduced is not None):
            return self.reader.read(lines.images.to(self.device), lines.widths.to(self.device))


def load_line_model(
    path: str | Path, *, device: Device = "auto", precision: Precision = "auto", beams: int = 1
) -> LineModel:
    """Load a reader's checkpoint, or the best weights of its run folder.

    ``auto`` takes cuda, else mps, else the CPU; its precision is 16 on cuda, and 32 elsewhere.

    Raises
    ------
    SourceNotFoundError
        There is no such file, or the run has no weights yet.
    CheckpointError
        It is damaged, holds something else, or a pickle, which is never opened.
    SettingsError
        Beams are asked of a reader that has none, or the device is not there.
    """
    file = weights_file(path)
    reader, header = load_reader(file)
    decoder = reader.decoder
    if isinstance(decoder, CtcDecoder):
        decoder.beams = beams
    elif beams > 1:
        raise SettingsError(
            f"Only CTC readers weigh texts against each other; {file} holds one of {reader.architecture['decoder']}. "
            "Leave --beams out."
        )
    place = pick_device(device)
    if precision == "auto":
        precision = "16" if place == "cuda" else "32"
    return LineModel(
        reader=reader.to(place),
        alphabet=Alphabet.from_json(header["alphabet"]),
        form=_form(header["form"], file),
        header=header,
        device=place,
        precision=precision,
    )


def _form(said: Mapping[str, Any], file: Path) -> LineForm:
    try:
        return LineForm(**said)
    except (TypeError, SettingsError) as error:
        raise CheckpointError(
            f"{file} should say which form lines are brought to, but says {said}; it is damaged, or of another version."
        ) from error
