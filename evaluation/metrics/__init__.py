"""Metrics of states: pure functions of physical states and their grid, in float64."""
