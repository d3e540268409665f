"""The stages that only some configurations have."""
