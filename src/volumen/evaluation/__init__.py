"""Room 8, evaluation: arrays in, numbers out."""
