"""Ways to learn from images without labels."""
