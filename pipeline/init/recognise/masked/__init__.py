"""What `init` sees of images with masks: their folders, the values in masks, and the names of these values."""
