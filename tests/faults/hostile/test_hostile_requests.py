"""The served model is sent mutations of images and bombs: its process lives, and the other rows are answered."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import bombs
import confined
import keras
import mutants
import numpy as np
import pytest

from components.ingest.workers import processes
from components.labels import kinds
from components.model import signatures
from components.model.networks import network

SIZE, LABELS = (16, 16), ["ant", "cat"]
GOOD = mutants.saved(mutants.RGB, "PNG")
BATCH = 16  # rows between two good ones
ALL = 10_000 // BATCH  # batches
FEW = 12  # of so many batches one is also tried with `make test`
LOST = 100  # the code of a batch that failed as a whole; below, the number of rows that were refused
SPOILT = 99  # the code of a batch in which a good row got another answer


@pytest.fixture(scope="module", autouse=True)
def _released() -> Iterator[None]:
    yield
    processes.release()


@pytest.fixture(scope="module")
def model(undecided: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an exported network with random weights."""
    keras.utils.set_random_seed(3)
    kind = kinds.kind("single_label")
    parts = network.build("small", weights=None, image_size=SIZE, classes=2, augment=False, seed=1, kind=kind)
    folder = str(tmp_path_factory.mktemp("model"))
    signatures.export(parts, LABELS, SIZE, kind, undecided(parts), folder)
    return folder


@functools.cache
def served(folder: str) -> tuple[Any, np.ndarray]:
    """The signature, and the logits of the good image."""
    import tensorflow as tf

    asked = tf.saved_model.load(folder).signatures["serving_default"]
    return asked, asked(image_bytes=tf.constant([GOOD]))["logits"].numpy()[0]


def rows_of(batch: int) -> list[bytes]:
    return [mutants.mutant(batch * BATCH + i)[1] for i in range(BATCH)]


def bomb(batch: int) -> list[bytes]:
    return [list(bombs.PHOTOS.values())[batch]()]


def ask(folder: str, made: Any, batch: int) -> int:
    """Sends a batch; returns how many rows were refused, or `LOST` or `SPOILT`."""
    import tensorflow as tf

    asked, logits = served(folder)
    sent = [GOOD, *made(batch), GOOD]
    try:
        answer = asked(image_bytes=tf.constant(sent))
    except tf.errors.OpError:
        return LOST
    errors, found = answer["error"].numpy(), answer["logits"].numpy()
    refused = errors != b""
    fine = not refused[[0, -1]].any() and np.allclose(found[[0, -1]], logits, rtol=1e-4, atol=1e-5)
    told = answer["abstain"].numpy()[refused].all() and not found[refused].any()
    return int(refused.sum()) if fine and told and np.isfinite(found).all() else SPOILT


def none(batch: int) -> list[bytes]:
    return []


def warm(folder: str) -> Callable[[], int]:
    """Loads the model and sends it two good rows."""
    return functools.partial(ask, folder, none, 0)


def check(outcome: confined.Outcome) -> None:
    assert not outcome.crashed
    assert not outcome.hung
    assert not outcome.escaped, outcome.escaped
    assert outcome.counts[SPOILT] == 0
    assert outcome.counts[LOST] == 0


def test_mutated_images_cost_their_own_rows_only(model: str) -> None:
    outcome = confined.run(functools.partial(ask, model, rows_of), ALL, warm(model), step=FEW, seconds=60)
    check(outcome)
    assert 0 < sum(outcome.codes.values()) < BATCH * len(outcome.codes)


def test_bombs_cost_their_own_rows_only(model: str) -> None:
    outcome = confined.run(functools.partial(ask, model, bomb), len(bombs.PHOTOS), warm(model), seconds=60)
    names = list(bombs.PHOTOS)
    assert not outcome.crashed, {names[i]: reason for i, reason in outcome.crashed.items()}
    assert not outcome.hung, [names[i] for i in outcome.hung]
    check(outcome)
    assert outcome.slowest[0] < 30, (names[outcome.slowest[1]], outcome.slowest)


@pytest.mark.slow
def test_ten_thousand_mutated_images_cost_their_own_rows_only(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = confined.run(functools.partial(ask, model, rows_of), ALL, warm(model), seconds=60)
    refused = sum(code for code in outcome.codes.values() if code < SPOILT)
    with capsys.disabled():
        rows = len(outcome.codes) * BATCH
        lost = Counter(code for code in outcome.codes.values() if code >= SPOILT)
        came = f"{refused:,} of {rows:,} rows refused, {lost[LOST]} batches lost, {lost[SPOILT]} spoilt"
        command = "test_hostile_requests.py -k ten_thousand"
        confined.add_to_table("batches of 16 mutated images for a served model", outcome, came, command)
    check(outcome)
