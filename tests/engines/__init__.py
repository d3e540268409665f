"""Real Beam engines on this machine, for the tests in this folder: Flink, Spark and Prism."""
