"""Stages as TFX components, one module each: thin shells around the pure functions of `components`.

Importing a stage imports TFX, so only the graph imports them.
"""
