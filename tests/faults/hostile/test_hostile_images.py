"""Image files that were made to do harm, and mutations of good ones: used or refused, in bounded memory and time."""

from collections import Counter
from pathlib import Path

import bombs
import confined
import mutants
import pytest
from confined import REFUSED, USED

from components.data import images, mask_rules, masks
from components.data.arrays import reading
from components.data.arrays.spec import Bands
from components.ingest.workers import processes

BANDS = Bands(names=("red", "green", "blue"))
RULE = mask_rules.rule(["sky", "road", "car"])
SIZE = 24, 20
MOST = 4_000_000  # pixels, for mutations
LARGEST = 100_000_000  # pixels, the default of data.max_pixels
ALL = 20_000
FEW = 49  # of so many mutations one is also tried with `make test`; it shares no factor with the number of formats
WHOLE = ("JPEG", "PNG", "WebP", "BMP", "TIFF", "PPM", "array: .npy", "array: .npz")
NASTY = sorted((Path(__file__).parents[4] / "shared" / "data" / "nasty").rglob("*.*"))


@pytest.fixture(scope="module", autouse=True)
def _released() -> object:
    yield
    processes.release()


def read(name: str, data: bytes, most: int) -> int:
    """Reads a file as ingest does, and what ingest would store as training does."""
    import tensorflow as tf

    try:
        if name.startswith(("array", "archive")) or "for an array" in name:
            reading.read(data, BANDS, most)
            return USED
        if name.startswith("mask") or "for a mask" in name:
            masks.check(data, mutants.WIDTH, mutants.HEIGHT, RULE, most)
            return USED
        checked = images.check(data, most)
    except images.BadImage as error:
        confined.sentence(error)
        return REFUSED
    pixels = images.decode(tf.constant(checked.encoded), SIZE)
    assert pixels.shape == (*SIZE, 3)
    return USED


def warm() -> int:
    return read("photo", mutants.seeds()["PNG"], MOST)


def mutation(number: int) -> int:
    name, data = mutants.mutant(number)
    code = read(name, data, MOST)
    if number % 5 == 0 and not name.startswith(("array", "mask")):  # as `imagegate init` reads
        try:
            images.glance(data, MOST)
        except images.BadImage as error:
            confined.sentence(error)
    return code


BOMBS = {**bombs.PHOTOS, **bombs.ARRAYS, **bombs.MASKS}


def bomb(number: int) -> int:
    name = list(BOMBS)[number]
    return read(name, BOMBS[name](), LARGEST)


def nasty(number: int) -> int:
    return read("photo", NASTY[number].read_bytes(), LARGEST)


def test_bombs_and_giants_take_little_memory_and_time() -> None:
    outcome = confined.run(bomb, len(BOMBS), warm, memory=2 << 30, seconds=30)
    names = list(BOMBS)
    assert not outcome.crashed, {names[i]: reason for i, reason in outcome.crashed.items()}
    assert not outcome.hung, [names[i] for i in outcome.hung]
    assert not outcome.escaped, {names[i]: reason for i, reason in outcome.escaped.items()}
    assert outcome.slowest[0] < 15, names[outcome.slowest[1]]


@pytest.mark.parametrize("name", bombs.POLYGLOTS)
def test_a_file_that_is_two_things_is_an_image_or_refused(name: str) -> None:
    data, is_image = bombs.POLYGLOTS[name]
    assert read(name, data, MOST) == (USED if is_image else REFUSED)


def cut(number: int) -> int:
    """Every good file, cut at a hundredth of its length and so on."""
    name, share = list(mutants.seeds())[number // 50], number % 50
    data = mutants.seeds()[name]
    return read(name, data[: len(data) * share // 50], MOST)


def test_files_that_are_cut_anywhere_are_used_or_refused() -> None:
    count = 50 * len(mutants.seeds())
    outcome = confined.run(cut, count, warm, step=7)
    check(outcome, len(range(0, count, 7)))
    # A cut file must not be taken for a whole one where its format says how long it is.
    used = Counter(list(mutants.seeds())[number // 50] for number, code in outcome.codes.items() if code == USED)
    assert not {name: used[name] for name in WHOLE if used[name]}


def test_mutations_are_used_or_refused() -> None:
    outcome = confined.run(mutation, ALL, warm, step=FEW)
    check(outcome, len(range(0, ALL, FEW)))
    assert outcome.counts[USED] > ALL // FEW // 20
    assert outcome.counts[REFUSED] > ALL // FEW // 5


@pytest.mark.slow
def test_twenty_thousand_mutations_are_used_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = confined.run(mutation, ALL, warm)
    with capsys.disabled():
        print(describe(outcome))
        command = "test_hostile_images.py -k twenty_thousand"
        confined.add_to_table("mutated photos, arrays and masks", outcome, outcome.used, command)
    check(outcome, ALL)


@pytest.mark.slow
@pytest.mark.real_images
def test_every_nasty_file_is_used_or_refused_in_bounded_memory_and_time(real_images: Path) -> None:
    outcome = confined.run(nasty, len(NASTY), warm, seconds=30)
    confined.add_to_table("photos from elsewhere", outcome, outcome.used, "test_hostile_images.py -k nasty")
    check(outcome, len(NASTY))


def check(outcome: confined.Outcome, count: int) -> None:
    """No crash, no hang, no other exception, and every file used or refused."""
    assert not outcome.crashed, outcome.crashed
    assert not outcome.hung, outcome.hung
    assert not outcome.escaped, outcome.escaped
    assert outcome.counts[USED] + outcome.counts[REFUSED] == count
    assert outcome.slowest[0] < 10, outcome.slowest
    assert outcome.peak < 1 << 30


def describe(outcome: confined.Outcome) -> str:
    names = list(mutants.seeds())
    by_name = {name: Counter(c for i, c in outcome.codes.items() if names[i % len(names)] == name) for name in names}
    lines = [f"{name}: {counts[USED]} used, {counts[REFUSED]} refused" for name, counts in by_name.items()]
    crashed = Counter(f"{names[i % len(names)]} {reason}" for i, reason in outcome.crashed.items())
    seconds, number = outcome.slowest
    lines += [f"slowest {seconds:.2f} s (number {number}), peak {outcome.peak / 2**20:.0f} MiB"]
    return "\n".join([*lines, f"crashed {dict(crashed)}, hung {outcome.hung}, escaped {outcome.escaped}"])
