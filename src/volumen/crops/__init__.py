"""Room 2, crops: lazy arrays in, samples out."""
