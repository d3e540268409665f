"""Recognisers: each looks at the files of a data set and proposes how to read them."""
