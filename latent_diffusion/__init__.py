"""Diffusion of latents: the denoiser, its training and distillation, and sampling."""

from halocline_packages import refuse_hidden

refuse_hidden("data", "guidance", "training", "autoencoder")
