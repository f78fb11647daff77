"""From a volume of temperature and salinity to a latent grid and back."""
