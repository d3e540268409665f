"""The pipeline, stock TFX and a plain loop on the same photos, each measured in a process of its own."""
