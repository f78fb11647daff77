"""Accuracy of generated states against the cost of the design, for whole chains."""
