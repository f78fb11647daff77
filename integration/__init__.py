"""Starting an ocean model from states."""
