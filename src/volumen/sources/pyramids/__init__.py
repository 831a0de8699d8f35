"""Pyramids: the OME-Zarr images that we write, block by block, resumable after a kill."""
