"""Versions of a model in the push destination: pushing, going back, and the model card."""
