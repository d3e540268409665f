"""What the page shows of arrays alone: their bands by label, and the moments of a sequence."""
