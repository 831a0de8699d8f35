"""Photographs: their pixels, and the polygons, masks and tags that people keep beside them."""
