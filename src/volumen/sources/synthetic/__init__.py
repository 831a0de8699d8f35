"""Synthetic data whose truth is known: phantoms of scrolls, and text rendered over photographs."""
