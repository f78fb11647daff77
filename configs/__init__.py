"""Experiments: one YAML each, and the models that they are checked against."""

from configs.loading import load_experiment, parse_command_line
from configs.schema import Experiment

__all__ = ["Experiment", "load_experiment", "parse_command_line"]
