"""Images without labels: their listing, and which of them training may not see."""
