"""What the pipeline costs, measured beside stock TFX on the same photos; `python -m benchmarks --help`."""
