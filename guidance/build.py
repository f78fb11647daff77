"""Builds the guide from its settings."""

from __future__ import annotations

from guidance.energy import WeightedTerm
from guidance.guide import EstimateGuide, SampleGuide, SteeringGuide
from guidance.settings import GuidanceSettings
from guidance.terms import Ocean


def build_guide(settings: GuidanceSettings, ocean: Ocean) -> SteeringGuide:
    """The guide for sampling states of an ocean."""
    kind = SampleGuide if settings.acts_on == "noisy_sample" else EstimateGuide
    terms = [WeightedTerm(term.build(ocean), term.weight, term) for term in settings.terms]
    return kind(terms, settings)
