"""The comparison of methods: the same data, seeds and budget for each, figures on eval, and what is beyond chance.

`methods`, `settings`, `intervals`, `figures` and `record` are pure; `conduct` trains.
"""
