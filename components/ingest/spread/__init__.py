"""Ingest on several machines: the plan as files, and one shard after the other on any worker that sees them."""
