"""What both training stages share: the counted loop, its checkpoints and its log."""
