"""Room 4, models: tensors in, features out."""
