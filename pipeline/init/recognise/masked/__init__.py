"""Images with masks, as `init` sees them: their folders, the values in masks, and the names of these values."""
