"""What the readers of all annotation tools share."""
