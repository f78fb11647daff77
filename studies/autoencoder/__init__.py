"""Autoencoders compared at equal cost."""
