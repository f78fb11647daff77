"""Analyses of observations that start the ocean model."""
