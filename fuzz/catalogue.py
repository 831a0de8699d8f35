"""All harnesses: the file that each is in, its name, and what it reads; nothing is imported here."""

from __future__ import annotations

MODULES = {
    "volumes": {
        "tiff layers": "folder of TIFF layers, meta.json",
        "tiff pages": "TIFF stack, plain, of ImageJ or OME",
        "npy": "NumPy volume and label",
        "zarr v2": "zarr v2, metadata and chunks",
        "zarr v3": "zarr v3, metadata and chunks",
        "ome metadata": "OME-Zarr 0.4 and 0.5 metadata",
    },
    "pictures": {
        "png": "PNG as label, mask, layer and photograph",
        "jpeg": "JPEG as label, mask, layer and photograph",
        "tiff picture": "TIFF as label, mask, layer and photograph",
    },
    "lists": {
        "tsv": "TSV of lines",
        "iam": "IAM's lists of words, lines, forms and splits",
        "page xml": "PAGE XML",
        "alto": "ALTO",
    },
    "photographs": {
        "ctw jsonl": "CTW's polygons, JSON lines",
        "polygon json": "labelme's polygons, JSON",
        "tagged csv": "CSV of photographs, masks and tags",
    },
    "weights": {
        "safetensors": "checkpoints of models, readers and taggers",
        "pickles": "weights of others, .pth",
        "run state": "resumable state of a run",
    },
    "folders": {
        "recipes": "job files and recipes",
        "events": "events of a run",
        "run folder": "recipe, events and scores of a run",
        "index folder": "index of windows",
    },
    "servers": {
        "catalogue": "catalogue of open data, plain or by gzip",
        "http answers": "HTTP: status, headers, ranges, bodies",
        "index pages": "index pages of file servers",
        "remote zarr": "zarr of either version on a server",
    },
    "words": {"command line": "arguments, ranges, regions, places"},
}

WATCHED: dict[str, tuple[str, ...]] = {"volumes": ("tifffile", "zarr"), "pictures": ("tifffile", "PIL")}
"""Packages beside volumen whose branches guide the fuzzer."""

READS = {name: reads for names in MODULES.values() for name, reads in names.items()}
NAMES = tuple(READS)


def module_of(name: str) -> str:
    """Return the file that a harness is in."""
    return next(module for module, names in MODULES.items() if name in names)
