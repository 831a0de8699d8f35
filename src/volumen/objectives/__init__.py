"""Room 5, objectives: model outputs in, loss terms out."""
