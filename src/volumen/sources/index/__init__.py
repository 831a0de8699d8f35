"""Indices: vectors of windows of segments on disk."""
