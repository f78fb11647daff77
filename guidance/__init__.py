"""Seawater physics, and constraints that guide sampling by gradients through the decoder."""
