"""Comparison of encoders of photographs."""
