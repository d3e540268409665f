"""`imagegate next`: which images of `data.unlabelled` to label next, in a table and on a page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from components.base.errors import ConfigError, ImagegateError
from components.base.files import write_atomically
from components.base.text import shown, truncated_list
from components.data import images, storage
from components.evaluation import next_images
from components.ingest.settings import Pool
from components.push import versions
from components.report import pictures
from pipeline.config import places
from pipeline.disk import room
from pipeline.predict import contact_sheet, label_table, predict, unlabelled
from pipeline.runs import data
from pipeline.terminal import output_to

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.terminal import Terminal


_INTRO = "The image that the model is least sure of comes first. The uncertainty is between 0 and 1."


def run(config: Config, count: int, output: str | None, terminal: Terminal) -> None:
    """Writes the table and the page, and prints what was left out and what to do next.

    Args:
        config: the settings.
        count: how many images at most.
        output: path of the table, which ends in .csv, or None for `next.csv` beside the configuration.
        terminal: where to print.

    Raises:
        ConfigError: a setting or an argument does not allow it, or there is no image.
        ImagegateError: nothing is pushed, or the model cannot be used.
    """
    if count < 1:
        raise ConfigError(f"-n: expected how many images to label, 1 or more; got {count}")
    pool = config.unlabelled_images
    if pool is None:
        raise ConfigError("data.unlabelled: is not set; write there which folder holds the images without labels")
    path, page = _places(config, output)
    served = _served(config)
    dataset, _ = data.read_dataset(config)
    form = label_table.form(config, pool.root, path)
    with output_to(os.devnull):  # decoders print warnings; real problems are listed
        found = unlabelled.find(config, pool, dataset, served)
    terminal.close()
    left = next_images.distinct(found.paths, np.array(found.unsure), found.hashes, pool.distance)
    for line in _lines(found, len(found.paths) - len(left)):
        terminal.line(shown(line))
    if not left:
        why = f"; {found.labelled:,} are in the data set with their labels already" if found.labelled else ""
        raise ConfigError(
            f"data.unlabelled: there is no usable image below {pool.root} to label{why}; add images without labels"
        )
    names, unsure = [found.paths[i] for i in left], np.array([found.unsure[i] for i in left])
    chosen = next_images.choose(names, unsure, np.stack([found.vectors[i] for i in left]), count)
    rows = [(names[i], found.guesses[left[i]], float(unsure[i])) for i in chosen]
    sheet = contact_sheet.page(f"{config.name}: images to label next", _INTRO, _pictured(pool, rows, form))
    _check_free(path, page)
    try:
        write_atomically(page, sheet)
        write_atomically(path, form.table(rows).encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ConfigError(f"-o {path}: {error.strerror}") from None
    if len(left) < count:
        terminal.line(f"takes all {len(left):,}: there are fewer different images than -n {count:,}")
    terminal.line(shown(f"wrote {path} and {page}: {len(rows):,} of {len(left):,} images"))
    again = {record.path for record in dataset.records} & _own_paths(config, pool, names, chosen)
    if again:
        note = f"note: {len(again):,} of them have a row without a label in the table already"
        why = "delete that row before both tables are used, because rows that differ leave their image out"
        terminal.line(shown(f"{note}: {truncated_list(sorted(again))}; {why}"))
    terminal.line(shown(form.advice))


def _places(config: Config, output: str | None) -> tuple[str, str]:
    """The paths of the table and the page; raises ConfigError at once if they cannot be written."""
    path = os.path.join(config.folder, "next.csv") if output is None else output
    if not path.lower().endswith(".csv"):
        raise ConfigError(f"-o {path}: expected a name that ends in .csv, such as next.csv")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ConfigError(f"-o {path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"-o {path}: {folder} cannot be written: {room.unwritable(folder)}")
    page = f"{path[:-4]}.html"
    _check_free(path, page)
    return path, page


def _check_free(*paths: str) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise ConfigError(
                f"-o: {path} is there already, and may hold somebody's work; name another file with -o, or move it away"
            )


def _served(config: Config) -> versions.Served:
    trust = config.trust()
    if versions.current(config.destination, trust) is None:
        raise ImagegateError(
            f"push.destination: nothing is pushed to {config.destination} yet; run `imagegate run` until a model passes"
        )
    served = predict.find(config.destination, trust)
    if served.manifest.task != config.task:
        raise ConfigError(
            f"task: {config.task}, but the model in push.destination was pushed for {served.manifest.task}; name the "
            "configuration that pushed it, or run this one first"
        )
    return served


def _lines(found: unlabelled.Found, nearly: int) -> Iterator[str]:
    yield from (f"note: {note}" for note in found.notes)
    yield from unlabelled.unusable_lines(found.unusable)
    if found.labelled:
        yield f"left out, in the data set with their labels already: {found.labelled:,}"
    if found.equal or nearly:
        yield f"left out, equal or nearly equal to another one: {found.equal + nearly:,}"


def _pictured(
    pool: Pool, rows: Sequence[tuple[str, str, float]], form: label_table.Form
) -> Iterator[tuple[str, Sequence[str], str]]:
    """Yields file name, guess and uncertainty, and thumbnail of each image, which is read once more."""
    for path, guess, unsure in rows:
        encoded = images.check(storage.read(pool.root, path), pool.max_pixels, pool.bits).encoded
        album = pictures.Album()
        captions = (f"guess: {guess or 'none'}", f"{unsure:.4f}")
        yield form.name(path), captions, album.images[album.add(pictures.small(encoded, contact_sheet.SIDE))]


def _own_paths(config: Config, pool: Pool, names: Sequence[str], chosen: Sequence[int]) -> set[str]:
    """The chosen images as the data set's table would name them; empty where it has none, or they lie elsewhere."""
    below = places.below(pool.root, config.data_root)
    if config.data.layout != "manifest" or below is None:
        return set()
    return {f"{below}/{names[i]}".lstrip("/") for i in chosen}
