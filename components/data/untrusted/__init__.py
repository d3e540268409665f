"""Decodes images that nobody has checked, in the graph of the served model: TensorFlow graph code only.

Ingest stores images that `data.decoding.decode` turns into the pixels that the file means. A client of a served model
sends any file. Each module here reads the header of one format and decodes the file to the pixels that `images.check`
and `decode` give, or says in a sentence why it does not.
"""
