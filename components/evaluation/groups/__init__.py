"""Weak groups: parts of the test split that nobody declared, and where the model is worse than on the rest."""
