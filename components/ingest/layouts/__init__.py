"""Data sets as they are found on disk, one module per layout; `reading` picks the one that is configured."""
