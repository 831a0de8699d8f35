"""The comparison of encoders for ink: its cells, scores, tables, drawings and page."""
