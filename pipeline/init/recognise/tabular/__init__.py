"""How tables are recognised: which files are tables of images, where the images are, and what the columns mean."""
