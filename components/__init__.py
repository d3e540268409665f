"""The stages of the pipeline and the pure functions that they consist of. Never imports `pipeline`."""
