"""Comparison of guidance methods on trained models."""
