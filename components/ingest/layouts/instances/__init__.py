"""The contents of COCO annotation files: images, categories, and regions or segments."""
