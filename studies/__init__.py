"""Studies that produce the results in the documents; imported only by `halocline.py`."""

from halocline_packages import refuse_hidden

refuse_hidden(
    "data",
    "guidance",
    "training",
    "autoencoder",
    "latent_diffusion",
    "configs",
    "evaluation",
    "integration",
)
