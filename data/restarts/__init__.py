"""States as files that ocean models start from: one writer per model."""
