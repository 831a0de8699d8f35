"""Places of segments: an index of windows, what looks alike, and where to label next."""
