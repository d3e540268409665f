"""Every layout with known truth: ingest stores exactly the pictures, labels, splits and masks that were written."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from any_layout.catalogue import LAYOUTS, Written
from any_layout.truth import BACKGROUND, World, expected, key, source_of, store, worlds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def check(layout: Written, world: World) -> None:
    """Writes a data set, ingests it, and compares what is stored."""
    with tempfile.TemporaryDirectory() as folder:
        told = layout.write(Path(folder, "data"), world)
        found, manifest = store(source_of(told, Path(folder, "data")), Path(folder, "shards"))
    assert found.keys() == {key(picture.pixels) for picture in world.pictures}
    for picture in world.pictures:
        stored = found[key(picture.pixels)]
        assert (stored.labels, stored.mask) == expected(picture, told["task"]), picture.name
        assert stored.split == picture.split or picture.split is None, picture.name
        assert stored.unknown == frozenset(), picture.name
    background = {BACKGROUND} if layout.kind == "mask" else set()
    assert set(manifest.labels) == {*world.labels, *background}
    # The manifest counts them.
    assert sum(manifest.counts.values()) == len(world.pictures)
    if layout.kind != "mask":
        truth = Counter(label for picture in world.pictures for label in picture.labels)
        assert {label: sum(counts.values()) for label, counts in manifest.label_counts.items()} == truth


def drawn(layout: Written) -> st.SearchStrategy[World]:
    return st.one_of([worlds(layout.kind, split) for split in layout.splits])


@pytest.mark.parametrize("name", LAYOUTS)
def test_ingest_stores_what_was_written(name: str) -> None:
    @settings(max_examples=5, suppress_health_check=list(HealthCheck))
    @given(drawn(LAYOUTS[name]))
    def any_world(world: World) -> None:
        check(LAYOUTS[name], world)

    any_world()


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_ingest_stores_what_was_written_in_many_examples(name: str) -> None:
    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(drawn(LAYOUTS[name]))
    def any_world(world: World) -> None:
        check(LAYOUTS[name], world)

    any_world()
