"""Accuracy on held-out images, side by side with what others would write."""
