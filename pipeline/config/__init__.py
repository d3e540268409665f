"""The configuration of a run: a YAML file, read into frozen, validated settings.

Each package declares its own section in its module `settings`. docs/configuration.md is generated from them.
"""

from pipeline.config.config import Config
from pipeline.config.reading import load, validated

__all__ = ["Config", "load", "validated"]
