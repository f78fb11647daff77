"""Codecs between ocean states and latents: networks, losses, training and the saved format."""
