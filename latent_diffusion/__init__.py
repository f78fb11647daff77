"""Learning and sampling the latents."""
