"""From a data set on disk to shards of TFRecords, a manifest of what they hold, and counts for the data gate."""
