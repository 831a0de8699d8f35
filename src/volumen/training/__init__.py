"""Room 6, training: objective and batches in, weights out, event by event."""
