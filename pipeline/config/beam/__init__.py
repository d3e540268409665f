"""The key `beam`: what Beam gets of it, and what is refused before anything runs.

Nothing here imports Beam before a function needs it.
"""

from pipeline.config.beam.arguments import passed
from pipeline.config.beam.check import check

__all__ = ["check", "passed"]
