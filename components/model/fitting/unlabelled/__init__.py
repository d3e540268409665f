"""Ways to learn from images without labels, and the comparison that decides whether one is used."""
