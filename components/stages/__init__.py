"""The stages as TFX components: thin shells, one module each, over the pure functions of `components`.

Importing one imports TFX; nothing outside a run does that.
"""
