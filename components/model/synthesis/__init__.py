"""Images of rare labels that are made and not taken: the generators, what is refused, and what is written."""
