"""Tables of images and labels: how they are read, what their columns mean, and which files their rows name."""
