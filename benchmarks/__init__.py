"""Benchmarks of the pipeline against stock TFX on the same photos; see `python -m benchmarks --help`."""
