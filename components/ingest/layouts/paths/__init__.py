"""Rules for the names of files and folders: splits, levels of folders, pairs, and files beside images."""
