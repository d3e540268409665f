"""Images, masks and their properties; files wherever they lie; the data set as a list of records."""
