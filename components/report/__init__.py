"""The report: one offline page of a run, for people."""
