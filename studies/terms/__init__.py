"""Comparison of training terms that papers propose, at equal training time."""
