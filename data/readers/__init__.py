"""Ocean models' output as states: one reader per model."""
