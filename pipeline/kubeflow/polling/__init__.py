"""The recurring task that starts a run where enough of the data is new."""
