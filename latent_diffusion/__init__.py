"""Diffusion of latents: the denoiser, its training and distillation, and sampling."""
