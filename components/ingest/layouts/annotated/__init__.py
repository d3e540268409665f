"""Layouts of annotation tools: each module reads one format; `shared.records` makes the data set."""
