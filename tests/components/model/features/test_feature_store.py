"""Features that are kept between runs."""

from pathlib import Path

import numpy as np

from components.model.features.feature_store import FeatureStore, digest

ROWS = {digest(b"cat"): np.array([1.0, 2.0], np.float32), digest(b"dog"): np.array([3.0, 4.0], np.float32)}


def test_what_was_added_is_read_in_any_number_of_parts(tmp_path: Path) -> None:
    store = FeatureStore(str(tmp_path), "key")
    assert store.read() == {}
    for image, features in ROWS.items():
        store.add({image: features})
        store.add({image: features})  # the same part, which is there already
    found = FeatureStore(str(tmp_path), "key").read()
    assert {image: row.tolist() for image, row in found.items()} == {k: v.tolist() for k, v in ROWS.items()}
    assert len(list((tmp_path / "key").iterdir())) == 2
    assert FeatureStore(str(tmp_path), "other").read() == {}


def test_a_part_that_changed_is_not_used(tmp_path: Path) -> None:
    store = FeatureStore(str(tmp_path), "key")
    store.add(ROWS)
    [part] = (tmp_path / "key").iterdir()
    whole = part.read_bytes()
    for damaged in (whole[:-1], b"", whole[:-9] + b"x" + whole[-8:]):
        part.write_bytes(damaged)
        assert store.read() == {}
    part.write_bytes(whole)
    assert len(store.read()) == 2


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    store = FeatureStore("", "key")
    store.add(ROWS)
    assert store.read() == {}
