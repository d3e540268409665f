"""`imagegate clean`: removes what no kept run needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.base.errors import ConfigError, ImagegateError
from components.base.text import byte_size, shown
from pipeline import lock
from pipeline.artifacts import store
from pipeline.disk import cleaning

if TYPE_CHECKING:
    from pipeline.config import Config


def run(config: Config, *, dry: bool) -> Iterator[str]:
    """Removes what is beyond `output.keep`, and the remains of killed runs and of comparisons; yields what it removes.

    With `output.artifacts`, what lies in the store goes as well.

    The push destination, the data and links that lead out of the output are not touched.

    Args:
        config: the settings.
        dry: only tell.

    Raises:
        ConfigError: there is no output folder.
        ImagegateError: a run is going on, or something cannot be removed, as where the store cannot be reached.
    """
    output = config.output_folder
    if not os.path.isdir(output):
        raise ConfigError(f"{output}: there is no such folder, so there is nothing to clean")
    with lock.held(output, "imagegate clean"):
        place = store.of(config.artifacts, output)
        stored = place.artifacts() if place is not None and place.is_own() else {}
        found = cleaning.removable(output, config.output.keep, remains=True, stored=stored)
        for each in found:
            also = "" if each.stored is None else f" ({byte_size(each.stored)} in {config.artifacts})"
            yield shown(f"{byte_size(each.size):>10}  {each.path}{also}")
        try:
            cleaning.remove(output, () if dry else found, place)
        except OSError as error:
            raise ImagegateError(f"{error.filename} cannot be removed: {error.strerror}") from None
        total = byte_size(sum(each.size for each in found))
        done = "would be removed" if dry else "removed"
        remote = sum(each.stored or 0 for each in found)
        also = f", and {byte_size(remote)} below {config.artifacts}" if remote else ""
        yield shown(f"{total} {done} below {output}{also}" if found else f"{output}: there is nothing to remove")
