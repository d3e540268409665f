"""The rules of the data gate, the model gate and the serving check, and the judge that all three share."""
