"""Labels: flat rasters on the grid of a volume, found beside it or inside it, and painted in versions."""
