"""SeenFrames: what a frozen recogniser sees of lines, computed once and kept as far as the memory allows."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from volumen.crops.line_batches import line_batches
from volumen.crops.width_buckets import width_buckets
from volumen.memory import out_of_memory
from volumen.models.encoders import measure_norms
from volumen.models.recognizer.frames import Frames

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor

    from volumen.crops.line_dataset import LineDataset
    from volumen.crops.line_images import LineBatch
    from volumen.models.recognizer.reader import Reader
    from volumen.models.recognizer.recognizer import Recognizer

_BYTES = 2 * 2**30  # 26 frames of 256 numbers are 27 kB: 80,000 words at the published width
_MEASURED_BATCHES = 32  # to measure norm statistics on


class SeenFrames:
    """Show lines to a frozen recogniser once; what it saw of a line is found again by the line's name.

    Parameters
    ----------
    reader
        Its recogniser frozen, on the device of ``fabric``.
    fabric
        Where, and in which number format, to compute.
    limit
        Most bytes to keep; what does not fit is computed each time.
    """

    def __init__(self, reader: Reader, fabric: Fabric, *, limit: int = _BYTES) -> None:
        self._reader, self._fabric, self._limit = reader, fabric, limit
        self._kept: dict[str, Tensor] = {}
        self._bytes = 0

    @torch.no_grad()
    def __call__(self, batch: LineBatch) -> Frames:
        """Return the frames of a batch of lines, on the CPU, float32; the lines must be as they are, without views."""
        missing = [index for index, name in enumerate(batch.names) if name not in self._kept]
        fresh: dict[str, Tensor] = {}
        if missing:
            images, widths = batch.images[missing], batch.widths[missing]
            with self._fabric.autocast(), out_of_memory("lines were seen", "Use a smaller batch."):
                frames = self._reader.frames(self._fabric.to_device(images), self._fabric.to_device(widths))
            values, lengths = frames.values.float().cpu(), frames.lengths.tolist()
            for index, line, length in zip(missing, values, lengths, strict=True):
                fresh[batch.names[index]] = self._keep(batch.names[index], line[:length].clone())
        lines = [fresh[name] if name in fresh else self._kept[name] for name in batch.names]
        return Frames(pad_sequence(lines, batch_first=True), torch.tensor([len(line) for line in lines]))

    def _keep(self, name: str, line: Tensor) -> Tensor:
        if self._bytes + line.nbytes <= self._limit:
            self._kept[name] = line
            self._bytes += line.nbytes
        return line


def measure_lines(recognizer: Recognizer, dataset: LineDataset, *, batch: int, seed: int, fabric: Fabric) -> None:
    """Set a recogniser's norm statistics to those of some lines; see `volumen.models.encoders.measure_norms`."""
    rows = width_buckets(dataset.widths, batch, seed=seed, epoch=0)
    some = islice(line_batches(dataset, rows, epoch=0), _MEASURED_BATCHES)
    inputs = ((fabric.to_device(each.images), fabric.to_device(each.widths)) for each in some)
    with out_of_memory("norms were measured", "Use a smaller batch."):
        measure_norms(recognizer, inputs)
