"""Cost of training and sampling in time, operations and memory."""
