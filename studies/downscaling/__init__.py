"""Fine states from means over coarse cells, beside interpolation and statistics."""
