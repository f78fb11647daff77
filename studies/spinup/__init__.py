"""Spin-up of the basin from generated states and its cost."""
