"""The equilibrium of a run from the first years after a change of its parameters."""
