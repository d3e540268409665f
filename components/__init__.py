"""What runs: every stage of the pipeline and the pure functions they are made of. Never imports `pipeline`."""
