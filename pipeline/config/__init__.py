"""The configuration of a run: one YAML file -> frozen, validated settings.

Each package declares its own section, in its module `settings`; docs/configuration.md is made from them.
"""

from pipeline.config.config import Config
from pipeline.config.reading import load, validated

__all__ = ["Config", "load", "validated"]
