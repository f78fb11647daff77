"""Evaluation of states: metrics, distances, spectra, figures and the report."""

from halocline_packages import refuse_hidden

refuse_hidden("data", "guidance", "training", "autoencoder", "latent_diffusion", "configs")
