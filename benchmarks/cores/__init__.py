"""How much faster ingest is with every core."""
