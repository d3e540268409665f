"""The Trainer's speed and memory."""
