"""What lets TensorFlow Serving answer quickly: warm-up requests, and batching as it was measured."""
