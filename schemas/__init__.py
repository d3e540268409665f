"""Curated schemas, one per task: what TensorFlow Data Validation holds every record against."""
