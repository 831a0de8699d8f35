"""How fast a folder of layers becomes OME-Zarr, beside a plain loop that has the whole volume in memory.

Run ``python benchmarks/convert.py`` on a machine with nothing else to do. The layers are TIFF files of 16 bits, as the
published ones are; they are in the page cache. ``volumen convert`` writes the volume and its coarser levels in bounded
memory, and journals what is done. The plain loop reads every layer with tifffile into one array and assigns that to a
zarr array of the same chunks and codec, with no coarser level, in all the memory that takes. Contenders take turns,
each time in a fresh process, whose whole peak memory is given; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from chunks import papyrus
from record import RESULTS, cores, record
from volumen.settings import Convert

CHUNK = Convert.model_fields["chunk"].default
CODECS = ("zstd", "lz4", "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=3072, help="side of the layers in pixels")
    parser.add_argument("--layers", type=int, default=65)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keep the layers here, and use them again")
    parser.add_argument("--out", type=Path, default=RESULTS / "convert.md", help="where to write the table")
    parser.add_argument("--run", nargs=2, metavar=("CONTENDER", "CODEC"), help="convert once in this process")
    options = parser.parse_args()
    if options.run:
        contender, codec = options.run
        print(json.dumps(run(contender, codec, options.folder)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        prepare(folder, options.layers, options.side)
        contenders = [(name, codec) for codec in CODECS for name in ("volumen", "plain")]
        taken: dict[tuple[str, str], list[dict[str, float]]] = {contender: [] for contender in contenders}
        for _ in range(options.rounds):
            for contender, runs in taken.items():
                command = [sys.executable, __file__, "--folder", str(folder), "--run", *contender]
                runs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
                print(*contender, runs[-1], file=sys.stderr)
    tell(taken, options)


def prepare(folder: Path, layers: int, side: int) -> None:
    """Write the layers, where they are not there yet."""
    if (folder / "layers").exists():
        return
    (folder / "draft").mkdir(parents=True)
    for number, layer in enumerate(papyrus(layers, side)):
        tifffile.imwrite(folder / "draft" / f"{number:02}.tif", layer.astype(np.uint16) * 257)
    (folder / "draft").rename(folder / "layers")


def run(contender: str, codec: str, folder: Path) -> dict[str, float]:
    """Convert once; return seconds and the peak memory in MB."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch, "volume.zarr")
        begun = time.perf_counter()
        {"volumen": convert, "plain": convert_plainly}[contender](folder / "layers", out, codec)
        seconds = time.perf_counter() - begun
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def convert(layers: Path, out: Path, codec: str) -> None:
    """Convert as the command does."""
    import volumen

    volumen.result(volumen.convert(Convert(source=str(layers), out=str(out), compression=codec)))


def convert_plainly(layers: Path, out: Path, codec: str) -> None:
    """Read everything, write everything."""
    import zarr
    from zarr.codecs import BloscCodec

    volume = np.stack([tifffile.imread(path) for path in sorted(layers.iterdir())])
    compressors = None if codec == "none" else BloscCodec(cname=codec, clevel=3, shuffle="shuffle", typesize=2)
    array = zarr.create_array(
        out, shape=volume.shape, dtype=volume.dtype, chunks=CHUNK, compressors=compressors, fill_value=0
    )
    array[:] = volume


def tell(taken: dict[tuple[str, str], list[dict[str, float]]], options: argparse.Namespace) -> None:
    """Write the table of what was taken."""
    megabytes = options.layers * options.side**2 * 2 / 1e6
    lines = ["| codec | contender | MB/s | times plain | peak memory, MB |", "|---|---|---|---|---|"]
    numbers, ratios = [], {}
    for (name, codec), runs in taken.items():
        seconds, peak = (statistics.median(run[key] for run in runs) for key in ("seconds", "peak_mb"))
        plain = taken["plain", codec]
        ratio = statistics.median(b["seconds"] / t["seconds"] for b, t in zip(plain, runs, strict=True))
        lines.append(f"| {codec} | {name} | {megabytes / seconds:.0f} | {ratio:.2f} | {peak:.0f} |")
        numbers.append({"contender": name, "codec": codec, "seconds": seconds, "peak_mb": peak})
        if name == "volumen":
            ratios[f"speed, times plain, {codec}"] = ratio
    page = (
        f"# Conversion\n\n{options.layers} layers of {options.side} × {options.side} px, uint16 TIFF, {megabytes:.0f} "
        f"MB, to chunks of {'×'.join(map(str, CHUNK))}; volumen writes the coarser levels too, plain does not. "
        f"{cores()} cores; medians of {options.rounds} interleaved rounds. Written by `benchmarks/convert.py`, which "
        "says what is measured.\n\n" + "\n".join(lines) + "\n"
    )
    record(options.out, page, ratios=ratios, numbers=numbers)


if __name__ == "__main__":
    main()
