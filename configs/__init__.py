"""Experiments: one YAML each, and the models that they are checked against."""

from halocline_packages import refuse_hidden

refuse_hidden("data", "guidance", "training", "autoencoder", "latent_diffusion")

from configs.loading import load_experiment
from configs.schema import Experiment

__all__ = ["Experiment", "load_experiment"]
