"""The metrics of a model through TensorFlow Model Analysis, its predictions, and out-of-distribution images."""
