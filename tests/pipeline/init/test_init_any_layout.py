"""init on data sets in every layout: the configuration that it writes reads exactly what was written."""

import tempfile
from pathlib import Path

import pytest
from any_layout.catalogue import LAYOUTS, Written
from any_layout.truth import World, expected, key, store, worlds
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline import config
from pipeline.cli import main

# Ids and colours have no names, only their keys tell which of two levels of folders are the labels, and rectangles are
# masks only for those who say so.
_UNNAMED = {name for name in LAYOUTS if name.startswith("masks ")}
_UNNAMED |= {"folders below the labels", "Label Studio rectangles"}
PICTURES = 24  # so many that a table shows which column holds the labels
NAMED = sorted(LAYOUTS.keys() - _UNNAMED)


def check(layout: Written, world: World) -> None:
    """Writes a data set, lets init look at it, and ingests what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        told = layout.write(Path(folder, "pets"), world)
        path = Path(folder, "pets", told.get("root", ""))
        main(["init", str(path), "-o", f"{folder}/pets.yaml", "--task", told["task"]])
        found = config.load(f"{folder}/pets.yaml")
        text = Path(folder, "pets.yaml").read_text()
        stored, manifest = store(found.source, Path(folder, "shards"))
    for picture in world.pictures:
        one = stored[key(picture.pixels)]
        assert (one.labels, one.mask) == expected(picture, told["task"]), (picture.name, text)
        assert one.split == picture.split or picture.split is None, (picture.name, text)
    assert stored.keys() == {key(picture.pixels) for picture in world.pictures}, text
    assert set(manifest.labels) >= set(world.labels)


@pytest.mark.parametrize("name", NAMED)
def test_init_reads_what_was_written(name: str) -> None:
    layout = LAYOUTS[name]

    @settings(max_examples=1, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.one_of([worlds(layout.kind, split, PICTURES) for split in layout.splits]))
    def any_world(world: World) -> None:
        check(layout, world)

    any_world()
