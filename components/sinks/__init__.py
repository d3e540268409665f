"""Records of runs in other systems, such as MLflow."""
