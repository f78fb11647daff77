"""What the perturbed-parameter ensemble of the basin is worth as data."""
