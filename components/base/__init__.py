"""Foundations of every package: errors, text for people, progress, fingerprints of code."""
