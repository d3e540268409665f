"""Kubeflow Pipelines: compiling, submitting, scheduling, and the entry point in the container."""
