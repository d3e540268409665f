"""The Trainer: batches from the shards, the phases of training, and the backup that survives a kill."""
