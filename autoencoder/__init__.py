"""Codecs between ocean states and latents: networks, losses, training and the saved format."""

from halocline_packages import refuse_hidden

refuse_hidden("data", "guidance", "training")
