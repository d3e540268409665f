"""What every package builds on: errors, text for people, progress, fingerprints of code."""
