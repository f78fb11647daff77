"""Experiments: one YAML each, and the models that they are checked against."""

from configs.loading import load_experiment
from configs.schema import Experiment

__all__ = ["Experiment", "load_experiment"]
