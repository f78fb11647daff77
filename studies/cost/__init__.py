"""What training and sampling cost in time, operations and memory."""
