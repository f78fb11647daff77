"""The basin from 5 to 2.5 degrees: a real coarse simulation, and its states in the finer model."""
