"""Signatures of pushed versions, in the format of the OpenSSF: keys, statements, and what is trusted."""
