"""What is counted of each image while it is read, and of all of them."""
