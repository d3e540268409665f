"""Code that the readers of all annotation formats share."""
