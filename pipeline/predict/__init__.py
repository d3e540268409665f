"""`imagegate predict`: which images, the answers of a pushed model, and how they are shown."""
