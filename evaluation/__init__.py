"""Evaluation of states: metrics, distances, spectra, figures and the report."""
