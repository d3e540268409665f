"""Images as arrays: any number of bands and moments, of 8 to 64 bits, with pixels that carry no information.

`spec` says what a data set holds, `reading` turns files into arrays, `validity` says which pixels count, `moments` sums
their values up, and `stored` is the form of an array in a record. Values are never rounded or clipped.
"""
