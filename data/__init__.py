"""The ocean side: states, grids, archives, model files in and out, and the Veros basin."""
