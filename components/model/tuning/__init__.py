"""The search for better settings of training: what is tried, in which order, what stops early, and what was found.

`settings`, `space`, `pruning` and `journal` are pure; `trial` trains, and `tuner` has the interface of TFX's Tuner.
"""
