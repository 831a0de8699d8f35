"""Colours of words and signs: each legible on the ground of napari's dark theme and of its light one."""

from __future__ import annotations

BAD = "#e83e48"
"""What failed, or cannot be."""

DOUBTFUL = "#b86e00"
"""What a person should know before they go on."""

GOOD = "#2f8f3f"
"""What is as it should be."""

GOING = "#3b82c4"
"""What goes on now."""
