"""Comparing models by the characters that they find in photographs: cells, scores, tables, pictures and the page."""
