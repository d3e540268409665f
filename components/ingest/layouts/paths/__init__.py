"""What the names of files and folders tell: splits, levels of folders, pairs, and files beside images."""
