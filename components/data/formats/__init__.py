"""Formats, bands, pages and bit depths of files that are, or should be, images."""
