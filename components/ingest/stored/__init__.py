"""Where each record is in the shards, so that a few of them are read without the rest."""
