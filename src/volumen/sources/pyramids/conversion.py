"""Conversion: the blocks and rasters of a conversion that are left to do, done here or by the workers of a cluster."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from volumen.errors import SettingsError, SourceError
from volumen.events import Event, Started, Stepped
from volumen.settings.command import absolute
from volumen.sources.labels.inside import list_inner_rasters, write_inner_raster
from volumen.sources.open import open_segment
from volumen.sources.pyramids.block_reader import BlockReader
from volumen.sources.pyramids.blocks import Cut
from volumen.sources.pyramids.journal import Journal
from volumen.sources.pyramids.pyramid import Pyramid, open_pyramid
from volumen.sources.segment import RASTERS, Segment

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from volumen.cluster import Cluster
    from volumen.settings.convert import Convert
    from volumen.sources.pyramids.blocks import Block

_ALONE = Lock()  # a process decodes one block at a time, and keeps what the next needs of the same strips


@dataclass(frozen=True)
class Conversion:
    """A conversion under way: from where, to where, in which blocks, and what is done."""

    settings: Convert
    segment: Segment
    image: Path
    cut: Cut
    blocks: tuple[Block, ...]
    journal: Journal

    def steps(self, cluster: Cluster | None) -> Iterator[Event]:
        """Do what is not done yet: block after block, then raster after raster."""
        segment, journal, done = self.segment, self.journal, self.journal.done()
        total, count = journal.total, sum(done)
        yield Started(work="convert", total=total, unit="blocks", detail={"shape": list(segment.shape)})
        todo = [index for index in range(len(self.blocks)) if not done[index]]
        begun, voxel_bytes = time.monotonic(), 0
        with closing(self._here(todo) if cluster is None else self._there(todo, cluster)) as written:
            for index, voxels in written:
                block = self.blocks[index]
                journal.mark(index)
                count += 1
                voxel_bytes += voxels if block.base == block.first else 0
                rate = voxel_bytes / 1e6 / max(1e-6, time.monotonic() - begun)
                yield Stepped(done=count, total=total, values={"megabytes_per_second": rate})
        for index, name in enumerate(rasters_of(segment), start=len(self.blocks)):
            if not done[index]:
                write_inner_raster(self.image, name, segment.raster(name), voxel_um=segment.voxel_um)
                journal.mark(index)
                count += 1
                yield Stepped(done=count, total=total)
        if rasters_of(segment):
            list_inner_rasters(self.image, rasters_of(segment))

    def _here(self, todo: Sequence[int]) -> Generator[tuple[int, int]]:
        """Write blocks in order, the next being read meanwhile; yield each with the bytes of its voxels."""
        pyramid = open_pyramid(self.image, mode="r+")
        reader = BlockReader(self.segment, pyramid, self.blocks, self.image.parent / "scratch", self.cut.voxels)
        for index, voxels in reader.ahead(todo):
            _write(pyramid, self.blocks[index], voxels)
            yield index, voxels.nbytes

    def _there(self, todo: Sequence[int], cluster: Cluster) -> Generator[tuple[int, int]]:
        """Have the blocks written by workers, pass by pass, since a later pass reads what an earlier one writes."""
        work = BlockWork(
            settings=absolute(self.settings),
            image=str(self.image.absolute()),
            job=self.journal.text(),
            run=uuid.uuid4().hex,
        )
        for _, together in groupby(todo, key=lambda index: self.blocks[index].base):
            with closing(cluster.spread(work, list(together), name=self._name)) as written:
                yield from written

    def _name(self, index: int) -> str:
        block = self.blocks[index]
        ranges = ",".join(f"{start}:{stop}" for start, stop in (block.window.z, block.window.y, block.window.x))
        return f"block {ranges} (ZYX) of level {block.base}"


@dataclass(frozen=True, kw_only=True)
class BlockWork:
    """How any process converts a block: it opens the source, and the image, once.

    Parameters
    ----------
    settings
        With paths in full.
    image
        What is written to.
    job
        The journal's record: a conversion that was replaced meanwhile is not written to.
    run
        Tells this run from others, so that a worker does not go on with what it opened for another.
    """

    settings: Convert
    image: str
    job: str
    run: str

    def __call__(self, index: int) -> int:
        """Read a block and write it; return the bytes of its voxels."""
        with _ALONE:
            reader = _reader(self)
            block = reader.blocks[index]
            voxels = reader.read(block)
            journal = Journal.read(Path(self.image).parent)
            if journal is None or journal.text() != self.job:
                raise SettingsError(f"{self.image} was replaced while it was being converted; start again.")
            _write(reader.pyramid, block, voxels)
            return voxels.nbytes


@lru_cache(maxsize=1)
def _reader(work: BlockWork) -> BlockReader:
    journal = Journal.read(Path(work.image).parent)
    if journal is None:
        raise SourceError(f"This worker sees no conversion at {work.image}; workers must see the same files.")
    cut = Cut.of(journal.job["cut"])
    scratch = Path(work.image).parent / f"scratch.{uuid.uuid4().hex}"
    return BlockReader(
        open_given(work.settings), open_pyramid(work.image, mode="r+"), cut.blocks(), scratch, cut.voxels
    )


def _write(pyramid: Pyramid, block: Block, voxels: NDArray[Any]) -> None:
    pyramid.write(block.window, voxels, base=block.base, first=block.first, top=block.top)


def open_given(settings: Convert) -> Segment:
    """Open the source with the rasters that were given for it."""
    given: dict[str, str] = {}
    fields = {"ink": "ink", "supervision": "supervision", "held_out_mask": "held_out", "mask": "mask"}
    for field, name in fields.items():
        paths = getattr(settings, field)
        if len(paths) > 1:
            raise SettingsError(f"One source takes one --{field.replace('_', '-')}; got {len(paths)}.")
        if paths:
            given[name] = paths[0]
    return open_segment(
        settings.source,
        ink=given.get("ink"),
        supervision=given.get("supervision"),
        held_out=given.get("held_out"),
        mask=given.get("mask"),
        reverse=settings.reverse,
        voxel_um=settings.voxel_um,
    )


def rasters_of(segment: Segment) -> tuple[str, ...]:
    """Return the names of the rasters that a segment has."""
    return tuple(name for name in RASTERS if getattr(segment, name) is not None)


def sweep(partial: Path) -> None:
    """Remove what killed processes had half written: zarr's temporary chunks, drafts of rasters, decoded layers."""
    for scratch in partial.glob("scratch*"):
        scratch.unlink()
    for folder, folders, files in os.walk(partial / "image"):
        for name in [name for name in folders if name.startswith(".")]:
            shutil.rmtree(Path(folder, name))
            folders.remove(name)
        for name in files:
            if name.endswith(".partial"):
                Path(folder, name).unlink()
