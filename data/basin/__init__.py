"""The simulated ocean basin and its ensembles."""
