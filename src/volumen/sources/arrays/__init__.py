"""Arrays: files as they lie on disk, read by slicing, decoded where a slice needs it and not before."""
