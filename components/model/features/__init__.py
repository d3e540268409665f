"""Features of a frozen backbone for every image of a data set, for rules that look at what the images show."""
