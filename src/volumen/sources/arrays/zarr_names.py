"""What zarr calls its own files, beside the chunks."""

NODES = ("zarr.json", ".zgroup", ".zarray")
"""One of these in a folder makes it a zarr group or array, of version 3 or 2."""

METADATA = (*NODES, ".zattrs", ".zmetadata")
"""All files that hold no chunk."""
