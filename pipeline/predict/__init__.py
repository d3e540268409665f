"""`imagegate predict`: finds the images, asks a pushed model, and shows its predictions."""
