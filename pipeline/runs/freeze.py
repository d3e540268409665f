"""`imagegate schema`: freezes the schema of the latest run's data, which later data must match."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from components.base.artifact_files import SCHEMA
from components.base.errors import ConfigError
from components.base.files import write_atomically

if TYPE_CHECKING:
    from pipeline.config import Config


def run(config: Config, path: str | None) -> str:
    """Writes the schema atomically and returns its path.

    Args:
        path: the file to write; by default `data.schema_file`, or `schema.pbtxt` beside the configuration.

    Raises:
        ConfigError: no run has read the data yet, or the file cannot be written.
    """
    # Run ids begin with the time, so the last one is the latest.
    schemas = sorted(glob.glob(os.path.join(glob.escape(config.output_folder), "history", "*", SCHEMA)))
    if not schemas:
        raise ConfigError(f"no run below {config.output_folder} has read the data yet; first: imagegate run")
    path = path or config.schema_path or os.path.join(config.folder, SCHEMA)
    try:
        with open(schemas[-1], encoding="utf-8") as f:
            text = f.read()
        write_atomically(path, text)
    except OSError as error:
        raise ConfigError(f"{error.filename or path}: {error.strerror}") from None
    return path
