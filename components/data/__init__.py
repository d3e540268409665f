"""Images, masks and their properties, the storage they are read from, and the data set as a list of records."""
