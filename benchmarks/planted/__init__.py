"""Faults planted in copies of data sets, and how many of them the data gate and other tools find."""
