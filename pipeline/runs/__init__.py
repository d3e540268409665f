"""Runs on this machine: the run itself, `check`, their summaries, history and reports."""
