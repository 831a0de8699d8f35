"""The parts of a comparison: its cells, its record, the scoring of a run, tables, pictures and the page."""
