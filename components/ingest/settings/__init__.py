"""The sections `data` and `labels` of the configuration, and the settings from both that ingest reads."""

from components.ingest.settings.columns import Columns
from components.ingest.settings.data import Data, Exclusion, Layout, Split
from components.ingest.settings.labels import Labels
from components.ingest.settings.pool import Pool
from components.ingest.settings.source import NearLimits, Source

__all__ = ["Columns", "Data", "Exclusion", "Labels", "Layout", "NearLimits", "Pool", "Source", "Split"]
