"""Checkpoints on a disk that cannot be written: an error that names the file, where HDF5 crashes the process."""

import errno
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from components.model.fitting import callbacks


def network() -> keras.Model:
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3)])
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    return model


def test_weights_and_the_state_of_the_optimizer_come_back(tmp_path: Path) -> None:
    model, path = network(), str(tmp_path / "a.weights.h5")
    written = [keras.ops.convert_to_numpy(v) for v in (*model.weights, *model.optimizer.variables)]
    callbacks.save_weights(model, path)
    assert os.listdir(tmp_path) == ["a.weights.h5"]
    for variable in (*model.weights, *model.optimizer.variables):
        variable.assign(variable + 1)
    model.load_weights(path)
    read = [keras.ops.convert_to_numpy(v) for v in (*model.weights, *model.optimizer.variables)]
    assert all(np.array_equal(a, b) for a, b in zip(written, read, strict=True))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        callbacks.save_weights(network(), "/dev/full")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")
