"""Ingest: reads a data set, writes it as shards of TFRecords with a manifest, and counts for the data gate."""
