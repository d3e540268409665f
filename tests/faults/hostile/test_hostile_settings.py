"""Configurations, decisions of people and files of earlier runs that somebody spoilt: read, or refused."""

import json
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import confined
import mutants
import pytest
from confined import REFUSED, USED
from hostile_sets import packed

from components.base.artifact_files import PUSHED_MANIFEST
from components.base.errors import ConfigError, ImagegateError
from components.base.values import parsed_json
from components.ingest import exclusion
from components.ingest.exclusion import Paths
from components.ingest.workers import processes
from components.push.destination import base
from pipeline import config
from pipeline.artifacts import written
from pipeline.config import backbones
from pipeline.disk import cleaning
from pipeline.init import backbones as found_backbones
from pipeline.runs import history, local

MANY = 6_000
FEW = 31  # of so many mutations one is also tried with `make test`; it shares no factor with the number of seeds

CONFIG = b"""name: pets
task: single_label
data: {root: photos, split: {train: 0.8, eval: 0.1, test: 0.1}}
labels:
  names: [cat, "no", "010"]
balance: {min_examples: 5}
training: &t {epochs: 3, image_size: [32, 32], learning_rate: 1e-3}
evaluation:
  thresholds:
    - {metric: accuracy, min: 0.9}
push: {destination: models/pets}
"""
LAUGHS = b"".join(b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1) if i else b"x"] * 9)) for i in range(12))
MERGES = b"a0: &a0 {x: 1}\n" + b"".join(
    b"a%d: &a%d {<<: [%s]}\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 12)
)
CONFIGS: dict[str, tuple[bytes, str]] = {
    "aliases of aliases": (CONFIG + LAUGHS, "aliases expand to more than 1,000,000 values"),
    "merges of merges": (CONFIG + MERGES, "aliases expand to more than|not valid YAML"),
    "an alias of itself": (CONFIG + b"x: &x [*x]\n", "more than 50 levels"),
    "100,000 brackets": (CONFIG + b"x: " + b"[" * 100_000, "nested more than 50 levels deep"),
    "100,000 indents": (b"".join(b" " * i + b"a:\n" for i in range(400)), "nested more than 50 levels deep"),
    "a tag of Python": (CONFIG + b"x: !!python/object/apply:os.system [id]\n", "the tag .* is not supported"),
    "a tag of its own": (CONFIG.replace(b"pets", b"!x pets", 1), "the tag .* is not supported"),
    "a key that is there twice": (CONFIG + b"name: dogs\n", "the key 'name' is repeated"),
    "a number of 10,000 digits": (CONFIG.replace(b"epochs: 3", b"epochs: " + b"9" * 10_000), "not valid YAML|epochs"),
    "a number of 400 digits": (CONFIG.replace(b"epochs: 3", b"epochs: " + b"9" * 400), "epochs"),
    "1e400": (CONFIG.replace(b"1e-3", b"1e400"), "learning_rate"),
    "no number": (CONFIG.replace(b"1e-3", b".nan"), "learning_rate"),
    "NUL": (CONFIG + b"x: \0\n", "not valid YAML"),
    "UTF-16": (CONFIG.decode().encode("utf-16"), "not UTF-8"),
    "invalid UTF-8": (CONFIG + b"x: \xff\n", "not UTF-8"),
    "a list": (b"[" + b"1, " * 1000 + b"1]", "expected keys and values"),
    "two documents": (CONFIG + b"---\nname: x\n", "not valid YAML"),
    "20 MB": (CONFIG + b"# " + b"x" * (20 << 20), "larger than"),
    "a list of 400,000 numbers": (CONFIG + b"x: [" + b"1, " * 400_000 + b"1]", "larger than"),
    "a key of a megabyte": (CONFIG + b"? " + b"k" * (1 << 20) + b"\n: 1\n", "larger than|not valid YAML|unknown key"),
}


@pytest.fixture(scope="module", autouse=True)
def _released() -> object:
    yield
    processes.release()


def load(content: bytes) -> str:
    """The sentence by which a configuration is refused, or ""."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pets.yaml"
        path.write_bytes(content)
        try:
            config.load(str(path))
        except ConfigError as error:
            return confined.sentence(error, "pets.yaml")
    return ""


def warm() -> object:
    return load(CONFIG)


def hostile_config(number: int) -> int:
    content, expected = CONFIGS[list(CONFIGS)[number]]
    sentence = load(content)
    assert re.search(expected, sentence), sentence[:300]
    return REFUSED


def test_configurations_that_were_made_to_do_harm_are_refused() -> None:
    assert load(CONFIG) == ""
    outcome = confined.run(hostile_config, len(CONFIGS), warm, memory=1 << 30, seconds=60)
    check(outcome, list(CONFIGS))
    assert outcome.slowest[0] < 20, (list(CONFIGS)[outcome.slowest[1]], outcome.slowest)


# ---- what people decide: `data.exclude`


DECISIONS = b"""path,reason,kind,certainty,other,decision
cat/1.jpg,broken,quarantined,1.00,,exclude
*/[!a]?.jpg,,,,,keep
"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,reason\n" + b"x" * 200_000 + b",y\n", "line 2: is not valid CSV: field larger than field limit"),
        (b"path,reason\n" + b"x" * 5000 + b",y\n", "line 2: expected a path or a pattern of at most 4,096 characters"),
        (b"path,reason\n1.png,y,z\n", "line 2: expected 2 cells, got 3"),
        (b"path,reason\n\0,y\n", "is not UTF-8 text"),
        (b"path,decision\n1.png,maybe\n", "line 2: expected the decision exclude or keep"),
        (b"," * 1_000_000 + b"\n", "expected a first line with the columns path and reason"),
    ],
)
def test_decisions_that_cannot_be_read_are_named_by_their_line(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        exclusion.parse(content, "d.csv")


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 40 + "*b",
        "**/" * 30 + "x/b",
        "*/**/" * 20 + "b",
        "[" * 2000,
        "[!" * 1000 + "*",
        "?*" * 500 + "b",
        "*" * 4000,
    ],
)
def test_a_pattern_takes_time_in_proportion_to_the_paths(pattern: str) -> None:
    """Where each `*` may begin anywhere, 40 of them would try more places than there are atoms."""
    import time

    paths = Paths(["a" * 250, "/".join("a" * 60) + "/a.jpg", *(f"{i}/{i}.jpg" for i in range(1000))])
    begun = time.process_time()
    paths.matches(pattern)
    assert time.process_time() - begun < 2


def test_patterns_find_what_the_same_pattern_finds_by_trying_everything() -> None:
    """Against a matcher of a few lines, which tries every place."""
    chance, names = random.Random(3), ["".join(p) for p in ("a", "b", "ab", "ba", "aab", "abb", "bab", "a.b")]
    paths = sorted({"/".join(chance.choices(names, k=chance.randint(1, 4))) for _ in range(150)})
    found = Paths(paths)
    for _ in range(300):
        parts = [chance.choice(("*", "**", "a*", "*b", "?", "*a*b", "[ab]*", "[!a]*", "a**b", "ab")) for _ in range(3)]
        pattern = "/".join(parts[: chance.randint(1, 3)])
        if not re.search(r"[*?\[]", pattern):
            continue
        expected = [path for path in paths if tried(pattern if "/" in pattern else f"**/{pattern}", path)]
        assert found.matches(pattern) == expected, pattern


def tried(pattern: str, path: str) -> bool:
    """Whether a pattern fits a path."""
    return of_folders(pattern.split("/"), path.split("/"))


def of_folders(parts: list[str], names: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        if len(parts) == 1:
            return bool(names)
        return any(of_folders(parts[1:], names[i:]) for i in range(len(names)))
    return bool(names) and of_name(parts[0], names[0]) and of_folders(parts[1:], names[1:])


def of_name(part: str, name: str) -> bool:
    if not part:
        return not name
    if part[0] == "*":
        return any(of_name(part[1:], name[i:]) for i in range(len(name) + 1))
    if not name:
        return False
    if part[0] == "[":
        inside, _, rest = part[1:].partition("]")
        fits = (name[0] in inside[1:]) is False if inside[0] == "!" else name[0] in inside
        return fits and of_name(rest, name[1:])
    return (part[0] == "?" or part[0] == name[0]) and of_name(part[1:], name[1:])


# ---- what earlier runs and pushes wrote


def summaries(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "history" / "20260101-000000"
        run.mkdir(parents=True)
        (run / "summary.json").write_bytes(content)
        (Path(folder) / cleaning.STATE).write_bytes(content)
        try:
            history.read_summary(str(run))
        except ImagegateError as error:
            confined.sentence(error, "summary.json is")
        list(history.read(folder))
        cleaning.rows(folder)
        assert all(isinstance(text, str) for text in local.read_state(folder).values())
        cleaning.removable(folder, 1, remains=True)
        cleaning.sizes(folder)


def manifests(content: bytes) -> None:
    from components.push import served

    with tempfile.TemporaryDirectory() as folder:
        version = Path(folder) / "1700000000"
        version.mkdir()
        (version / PUSHED_MANIFEST).write_bytes(content)
        base.parsed(content)
        written.parse(content)
        try:
            served.current(folder)
        except ImagegateError as error:
            confined.sentence(error, PUSHED_MANIFEST, "1700000000")


def decisions(content: bytes) -> None:
    try:
        rows = exclusion.parse(content, "d.csv")
    except ConfigError as error:
        confined.sentence(error, "d.csv")
        return
    for row in rows:
        Paths(["cat/1.jpg", "a/b/c.jpg"]).matches(row.path)


SUMMARY = json.dumps(
    {"status": "pushed", "run_id": "x", "name": "pets", "task": "single_label", "started": "2026-01-01T00:00:00+00:00"}
    | {"artifacts": {"model": "pipeline/Trainer/model/7"}, "stages": {"Trainer": 3.5}, "metrics": {"accuracy": 0.9}},
    indent=1,
).encode()
MANIFEST = json.dumps(
    {"name": "pets", "task": "single_label", "image_size": [8, 8], "labels": ["cat", "dog"], "version": "1700000000"}
    | {"files": {"saved_model.pb": "ab12"}, "metrics": {"accuracy": 0.9}, "decisions": {"labels": {}}},
    indent=1,
).encode()
READERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "configuration": (CONFIG, load),
    "decisions": (DECISIONS, decisions),
    "summary": (SUMMARY, summaries),
    "manifest": (MANIFEST, manifests),
}
DEEP = b"[" * 100_000
SPOILT = {"deep": DEEP, "deep objects": b'{"a":' * 100_000, "NUL": bytes(100), "digits": b"9" * 10_000, "empty": b""}


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("name", ["summary", "manifest"])
def test_a_spoilt_file_of_an_earlier_run_or_push_is_left_out_or_named(name: str, content: bytes) -> None:
    READERS[name][1](content)


@pytest.mark.parametrize("content", [DEEP, b'{"a":' * 100_000, b"1" * 10_000])
def test_json_that_python_cannot_hold_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|Exceeds the limit"):
        parsed_json(content)


def mutation(number: int) -> int:
    name = list(READERS)[number % len(READERS)]
    content, reader = READERS[name]
    reader(mutants.text_mutant(content, random.Random(number)))
    return USED


def test_mutations_of_settings_and_records_are_read_or_refused() -> None:
    check(confined.run(mutation, MANY, warm, step=FEW), list(READERS))


@pytest.mark.slow
def test_six_thousand_mutations_of_settings_and_records_are_read_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = confined.run(mutation, MANY, warm)
    with capsys.disabled():
        command = "test_hostile_settings.py -k six_thousand"
        confined.add_to_table("mutated settings and records", outcome, outcome.used, command)
    check(outcome, list(READERS))


def check(outcome: confined.Outcome, names: list[str]) -> None:
    assert not outcome.crashed, {names[i % len(names)]: reason for i, reason in outcome.crashed.items()}
    assert not outcome.hung, [names[i % len(names)] for i in outcome.hung]
    assert not outcome.escaped, {(i, names[i % len(names)]): reason for i, reason in outcome.escaped.items()}


# ---- networks from others, before Keras is imported


@pytest.mark.parametrize(
    "content",
    [
        packed({"config.json": b"[" * 100_000}),
        packed({"config.json": bytes(200 << 20)}),
        packed({"config.json": b'{"config": {"layers": 7}}'}),
        packed({"config.json": b"\xff"}),
        packed({"metadata.json": b"{}"}),
        packed({"config.json": b"{}"})[:-30],
        b"\x89HDF\r\n\x1a\n" + bytes(1000),
        b"",
    ],
    ids=["deep", "200 MB", "other types", "no text", "without it", "cut", "HDF5", "empty"],
)
def test_a_keras_file_that_is_none_is_not_proposed_and_takes_no_harm(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.keras").write_bytes(content)
    assert found_backbones.at_hand(str(tmp_path))[0] != "net.keras"
    try:
        backbones.check_file(str(tmp_path / "net.keras"))
    except ConfigError as error:
        confined.sentence(error, "is not a .keras file")
