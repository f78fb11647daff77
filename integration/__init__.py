"""Starting an ocean model from states."""

from halocline_packages import refuse_hidden

refuse_hidden(
    "data", "guidance", "training", "autoencoder", "latent_diffusion", "configs", "evaluation"
)
