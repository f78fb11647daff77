"""Parameters of a state recovered from observations of it."""
