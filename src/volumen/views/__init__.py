"""Room 3, views: tensors in, tensors out; drawn, then applied."""
