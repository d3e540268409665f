"""Millions of records in little memory."""
