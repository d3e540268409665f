"""The store as TFX's launcher sees it: it asks whether outputs are there, and removes those of stages that failed.

TensorFlow, through which TFX would ask otherwise, opens few stores, and does not know which artifacts are complete.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tfx.dsl.io.filesystem import Filesystem
from tfx.dsl.io.filesystem_registry import DEFAULT_FILESYSTEM_REGISTRY

if TYPE_CHECKING:
    from pipeline.artifacts.store import ArtifactStore

_priorities = itertools.count(-1, -1)  # the newest is preferred; TFX forgets none


def register(store: ArtifactStore) -> None:
    """From now on, TFX uses this store for URLs of its scheme."""

    class StoreFilesystem(Filesystem):
        """What TFX's launcher calls. What the store does not hold is no error; stores have no folders to make."""

        SUPPORTED_SCHEMES = (f"{store.url.partition('://')[0]}://",)

        @staticmethod
        def exists(path: str) -> bool:
            return store.is_complete(path)

        @staticmethod
        def isdir(path: str) -> bool:
            return store.is_complete(path)

        @staticmethod
        def makedirs(path: str) -> None:
            pass

        @staticmethod
        def remove(path: str) -> None:
            store.remove_at(path)

        @staticmethod
        def rmtree(path: str) -> None:
            store.remove_at(path)

    DEFAULT_FILESYSTEM_REGISTRY.register(StoreFilesystem, priority=next(_priorities))
