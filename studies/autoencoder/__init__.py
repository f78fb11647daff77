"""Comparison of autoencoders at equal training cost."""
