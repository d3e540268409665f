"""Data sets with known truth in every layout: what hypothesis draws, and a small function that writes each layout."""
