"""The comparison of encoders for reading: its cells, scores, costs, tables, drawings and page."""
