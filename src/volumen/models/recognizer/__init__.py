"""Recogniser: from images of lines to frames, left to right, and from frames to text."""
