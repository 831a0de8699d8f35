"""convert: anything that opens, to chunked OME-Zarr with a pyramid; bounded memory, resumable, labels carried along."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.cluster import open_cluster
from volumen.drafts import clear_drafts, draft_of
from volumen.errors import LabelError, OutputExistsError, SettingsError, SourceError
from volumen.events import Event, Finished, Saved, Warned
from volumen.sources.decoded import decoded_at_once
from volumen.sources.location import Location
from volumen.sources.pyramids.blocks import Cut
from volumen.sources.pyramids.conversion import Conversion, open_given, rasters_of, sweep
from volumen.sources.pyramids.journal import Journal
from volumen.sources.pyramids.pyramid import check_replaceable, create_pyramid, level_count, open_pyramid
from volumen.whole_files import out_of_space, refuse_existing
from volumen.writer import sole_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from volumen.cluster import Cluster
    from volumen.settings.convert import Convert
    from volumen.sources.segment import Segment

_BLOCKS_IN_MEMORY = 4  # one being read, one being written, its halves, and chunks being encoded


def convert(settings: Convert) -> Iterator[Event]:
    """Convert a segment to OME-Zarr 0.5, chunked, with a YX pyramid (Z kept) and its rasters inside.

    The work is done in ``<out>.partial``, whose image becomes ``out`` when all is written. Killed at any moment, the
    same call with ``resume`` goes on and ends with the same bytes as an unbroken run. ``reverse`` is applied: the
    store is in the model's order, and says so in its attributes.

    Parameters
    ----------
    settings
        What to convert, and how.

    Yields
    ------
    Event
        `Started`, a `Stepped` for each block with the rate so far (``megabytes_per_second``, of voxels), `Saved`, and
        `Finished` with ``path``, ``shape`` (ZYX), ``levels``, ``rasters``, ``seconds`` and ``megabytes_per_second``.

    Raises
    ------
    OutputExistsError
        When ``out``, or an unfinished ``<out>.partial``, is there and neither resume nor overwrite is asked for; or
        when what is there came from another source or other settings.
    SourceNotFoundError, SourceError, LabelError
        When the source cannot be read.
    OutOfSpaceError
        When the disk is full; what was finished is kept.

    Examples
    --------
    >>> from volumen.events import result
    >>> from volumen.settings import Convert
    >>> result(convert(Convert(source="20230827161847", out="20230827161847.zarr")))  # doctest: +SKIP
    """
    with open_cluster(settings.scheduler, settings.workers, needs=[__name__]) as cluster:
        yield from _convert(settings, cluster)


def _convert(settings: Convert, cluster: Cluster | None) -> Iterator[Event]:
    begun = time.monotonic()
    if cluster is not None:
        yield from cluster.arrive()
    out = _output_path(settings)
    partial = out.with_name(f"{out.name}.partial")
    segment = open_given(settings)
    job = _job(settings, segment)
    with sole_output(out):
        if _finished_before(settings, out, partial, job):
            yield _finished(out, segment, 0.0)
            return
        work = _taken_up(settings, segment, partial, job) if settings.resume else None
        if work is None:
            work = _laid_out(settings, segment, out, partial, job)
        elif settings.memory_gb != work.journal.job["memory_gb"]:
            before = work.journal.job["memory_gb"]
            yield Warned(message=f"The conversion goes on with the memory that it was begun with, {before} GB.")
        try:
            yield from work.steps(cluster)
        except (SourceError, LabelError):
            if not any(work.journal.done()):  # bad input leaves nothing behind, unless there is work worth keeping
                shutil.rmtree(partial)
            raise
        _publish(work.image, out)
        shutil.rmtree(partial)
        yield Saved(path=str(out), what="volume")
        yield _finished(out, segment, time.monotonic() - begun)


def _output_path(settings: Convert) -> Path:
    location = Location.of(settings.out)
    if not location.local:
        raise SettingsError(f"The output must be a folder on this machine; got {location}. Convert, then upload.")
    out = Path(location.path).absolute()
    source = Location.of(settings.source)
    if source.local and out == Path(source.path).absolute():
        raise SettingsError(f"The output must not be the source, {out}; give another path.")
    if settings.overwrite:
        check_replaceable(out)
    if not (settings.resume or settings.overwrite):
        _refuse_existing(out)
    return out


def _refuse_existing(out: Path) -> None:
    partial = out.with_name(f"{out.name}.partial")
    refuse_existing(out)
    if partial.exists():
        raise OutputExistsError(
            f"{partial} holds an unfinished conversion; go on with --resume, or start again with --overwrite."
        )


def _job(settings: Convert, segment: Segment) -> dict[str, Any]:
    """Return what decides the bytes of the output; memory is not among it."""
    source = Location.of(settings.source)
    return {
        "source": str(Path(source.path).absolute()) if source.local else source.path,
        "shape": list(segment.shape),
        "dtype": segment.dtype.name,
        "reversed": segment.reverse,
        "voxel_um": segment.voxel_um,
        "chunk": list(settings.chunk),
        "compression": settings.compression,
        "rasters": {name: segment.raster(name).source for name in rasters_of(segment)},
    }


def _finished_before(settings: Convert, out: Path, partial: Path, job: Mapping[str, Any]) -> bool:
    """Whether a conversion that is to be resumed is complete; one of another source must not be replaced unasked."""
    if not out.exists() or settings.overwrite:
        return False
    try:
        same = open_pyramid(out).attributes.get("converted") == job
    except SourceError:
        same = False
    if not same:
        raise OutputExistsError(
            f"{out} is already there, from another source or other settings; replace it with --overwrite."
        )
    clear_drafts(out)
    shutil.rmtree(partial, ignore_errors=True)  # left by a kill just after publishing
    return True


def _taken_up(settings: Convert, segment: Segment, partial: Path, job: Mapping[str, Any]) -> Conversion | None:
    """Take up an unfinished conversion, or return None where none had begun."""
    journal = Journal.read(partial)
    if journal is None:
        return None
    begun = journal.job["converted"]
    differs = [key for key in job if job[key] != begun.get(key)]
    if differs and not settings.overwrite:
        raise OutputExistsError(
            f"{partial} was begun with another {' and '.join(differs)} "
            f"({begun.get(differs[0])}, now {job[differs[0]]}); give the same, or start again with --overwrite."
        )
    if differs:
        return None
    sweep(partial)
    cut = Cut.of(journal.job["cut"])
    return Conversion(settings, segment, partial / "image", cut, cut.blocks(), journal)


def _laid_out(settings: Convert, segment: Segment, out: Path, partial: Path, job: Mapping[str, Any]) -> Conversion:
    """Lay out an empty image and its journal."""
    depth, height, width = segment.shape
    chunks = (min(settings.chunk[0], depth), min(settings.chunk[1], height), min(settings.chunk[2], width))
    cut = Cut(
        shape=segment.shape,
        chunks=chunks,
        source=decoded_at_once(segment),
        levels=level_count(segment.shape),
        voxels=max(1, int(settings.memory_gb * 1e9) // segment.dtype.itemsize // _BLOCKS_IN_MEMORY),
    )
    blocks = cut.blocks()
    shutil.rmtree(partial, ignore_errors=True)
    with out_of_space(out):
        partial.mkdir(parents=True)
        create_pyramid(
            partial / "image",
            shape=segment.shape,
            dtype=segment.dtype,
            chunks=chunks,
            voxel_um=segment.voxel_um,
            levels=cut.levels,
            compression=settings.compression,
            attributes={"converted": dict(job), "reversed": segment.reverse},
            name=out.name,
        )
        plan = {"converted": dict(job), "memory_gb": settings.memory_gb, "cut": cut.fields()}
        journal = Journal.start(partial, plan, len(blocks) + len(rasters_of(segment)))
    return Conversion(settings, segment, partial / "image", cut, blocks, journal)


def _publish(image: Path, out: Path) -> None:
    """Put the finished image in its place; what was there goes only when the new one stands."""
    old = draft_of(out)
    if out.exists():
        out.replace(old)
    image.replace(out)
    if old.is_dir():
        shutil.rmtree(old)
    else:
        old.unlink(missing_ok=True)


def _finished(out: Path, segment: Segment, seconds: float) -> Finished:
    megabytes = segment.dtype.itemsize * segment.shape[0] * segment.shape[1] * segment.shape[2] / 1e6
    return Finished(
        result={
            "path": str(out),
            "shape": list(segment.shape),
            "levels": level_count(segment.shape),
            "rasters": list(rasters_of(segment)),
            "seconds": seconds,
            "megabytes_per_second": megabytes / seconds if seconds else 0.0,
        }
    )
