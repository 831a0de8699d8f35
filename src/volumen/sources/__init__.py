"""Room 1, sources: on disk or remote in, lazy arrays and records out."""
