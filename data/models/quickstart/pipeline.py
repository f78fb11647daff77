"""Tells diffusers that the class of this model is in Halocline, which must be installed."""

try:
    from latent_diffusion.pipeline import StatePipeline  # noqa: F401
except ImportError as error:
    raise ImportError("this model needs Halocline: install it from its repository") from error
