"""Methods of guidance compared on trained models."""
