"""Ocean states given observations, beside classical methods, where the truth is known."""
