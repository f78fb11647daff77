"""Seawater physics, and constraints that guide sampling by gradients through the decoder."""

from halocline_packages import refuse_hidden

refuse_hidden("data")
