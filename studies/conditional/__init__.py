"""How good a conditional model is on members that it has not seen, beside statistical emulators."""
