"""Tables, annotations and lists that were made to do harm: read, or refused in one sentence, in bounded time."""

import io
import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import confined
import hostile_sets
import mutants
import pyarrow
import pyarrow.parquet
import pytest
from confined import REFUSED, USED
from hostile_sets import SETS

from components.base.errors import ImagegateError
from components.ingest.workers import processes

MANY = 12_000
FEW = 61  # of so many mutations one is also tried with `make test`; it shares no factor with the number of sets
Make = Callable[[], bytes]


@pytest.fixture(scope="module", autouse=True)
def _released() -> object:
    yield
    processes.release()


def hostile(name: str) -> bytes:
    return SETS[name].files[SETS[name].hostile]


def told_of(name: str, content: bytes) -> tuple[int, str]:
    """Reads a set with a hostile file: the number of images, and the sentence of a refusal."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return hostile_sets.read(Path(folder), SETS[name], content), ""
        except ImagegateError as error:
            return 0, confined.sentence(error, SETS[name].hostile, "data.", "labels.")


@pytest.mark.parametrize("name", SETS)
def test_each_set_is_read_as_it_is(name: str) -> None:
    """Otherwise its mutations would say little: they might all be refused for what no mutation did."""
    count, refusal = told_of(name, hostile(name))
    assert (count > 0, refusal) == (True, "")


def warm() -> object:
    return told_of("CSV", hostile("CSV"))


def mutation(number: int) -> int:
    name, chance = list(SETS)[number % len(SETS)], random.Random(number)
    if name == "Parquet":
        data = bytearray(hostile(name))
        for _ in range(chance.choice((1, 2, 8))):
            chance.choice((mutants._bits, mutants._byte, mutants._cut, mutants._tear, mutants._number))(data, chance)
            data = data or bytearray(b"P")
        content = bytes(data)
    else:
        content = mutants.text_mutant(hostile(name), chance)
    _, sentence = told_of(name, content)
    return REFUSED if sentence else USED


def replaced(name: str, old: bytes, new: bytes) -> Make:
    def make() -> bytes:
        assert old in hostile(name)
        return hostile(name).replace(old, new, 1)

    return make


def columns(count: int, last: str) -> bytes:
    names = [f"c{i}" for i in range(count)]
    return ("file_name,label," + ",".join([*names, last]) + "\na.png,cat" + ",1" * (count + 1) + "\n").encode()


def coco_of(count: int) -> bytes:
    content = json.loads(hostile("COCO, labels"))
    content["categories"] += [{"id": i, "name": f"c{i}"} for i in range(3, count)]
    return json.dumps(content).encode()


def studio_of(count: int) -> bytes:
    content = json.loads(hostile("Label Studio, labels"))
    one = content[0]["annotations"][0]
    content[0]["annotations"] = [
        one | {"id": i, "result": [hostile_sets._studio("choices", {}) | {"value": {"choices": [f"c{i}"]}}]}
        for i in range(count)
    ]
    return json.dumps(content).encode()


def parquet_of(size: int, rows: int) -> bytes:
    """One image of so many bytes, which all rows have; a few kilobytes on disk."""
    image = pyarrow.array([bytes(size)], pyarrow.binary()).dictionary_encode()
    index = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), image.dictionary)
    table = pyarrow.table(
        {"image": index.cast(pyarrow.dictionary(pyarrow.int32(), pyarrow.binary())), "label": ["cat"] * rows}
    )
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, compression="zstd", store_schema=False)
    return out.getvalue()


_LAUGHS = (
    b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a0 "lol">%s]><annotation><filename>&a9;</filename></annotation>"""
    % (b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 10)))
)
_EXTERNAL = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b"<annotation><filename>&x;</filename></annotation>"
)
_ALIASES = b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 12)
)
_XML = ("Pascal VOC", "CVAT, labels")
_JSONS = ("COCO, labels", "COCO, masks", "Label Studio, masks", "LabelMe, masks", "JSON", "JSON lines")

# (data set, content, what the sentence says; "": images can be used; "?": either). A part of a data set that is
# refused for one image goes to quarantine with it.
CASES: dict[str, tuple[str, Make, str]] = {
    **{f"{name}: 100,000 brackets": (name, lambda: b"[" * 100_000, "nested too deeply") for name in _JSONS[:3]},
    "JSON: 100,000 brackets": ("JSON", lambda: b"[" * 100_000, "nested too deeply"),
    "JSON lines: 100,000 brackets": ("JSON lines", lambda: b"[" * 100_000, "row 1: not valid JSON: nested too deeply"),
    "LabelMe: 100,000 brackets": ("LabelMe, masks", lambda: b"[" * 100_000, "?"),
    **{f"{name}: entities": (name, lambda: _LAUGHS, "?" if name in _XML[:1] else "document type") for name in _XML},
    **{
        f"{name}: a file as entity": (name, lambda: _EXTERNAL, "?" if name in _XML[:1] else "document type")
        for name in _XML
    },
    "CVAT: 100,000 levels": ("CVAT, labels", lambda: b"<annotations>" + b"<image>" * 100_000, "not valid XML"),
    "CVAT: 100,000 closed levels": (
        "CVAT, labels",
        lambda: b"<annotations>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</annotations>",
        "names no image",
    ),
    "CVAT: a million attributes": (
        "CVAT, labels",
        lambda: b"<annotations " + b" ".join(b'a%d="1"' % i for i in range(10**6)) + b"/>",
        "names no image",
    ),
    "YOLO: aliases": ("YOLO, data.yaml", lambda: hostile("YOLO, data.yaml") + _ALIASES, "?"),
    "YOLO: names that are aliases": (
        "YOLO, data.yaml",
        lambda: _ALIASES + b"train: .\nnames: *a11\n",
        "class 0 has no name",
    ),
    "YOLO: a tag": (
        "YOLO, data.yaml",
        lambda: hostile("YOLO, data.yaml") + b"x: !!python/object/apply:os.system [id]\n",
        "",
    ),
    "YOLO: 100,000 brackets": (
        "YOLO, data.yaml",
        lambda: b"names: " + b"[" * 100_000,
        "nested too deeply|not valid YAML",
    ),
    "YOLO: a megabyte of names": (
        "YOLO, data.yaml",
        lambda: b"train: .\nnames:\n" + b"".join(b"  %d: n%d\n" % (i, i) for i in range(80_000)),
        "expected at most 1,000,000",
    ),
    "YOLO: 99,000 names, two of them equal": (
        "YOLO, boxes",
        lambda: b"0 0.5 0.5 1 1\n" * 99_000,
        "",
    ),
    "COCO: an id of 5,000 digits": ("COCO, labels", replaced("COCO, labels", b'"2"', b'"' + b"9" * 5000 + b'"'), ""),
    "COCO: a number of 10,000 digits": (
        "COCO, labels",
        replaced("COCO, labels", b'"id": 1', b'"id": ' + b"9" * 10_000),
        "not valid JSON",
    ),
    "COCO: an area of 400 digits": ("COCO, masks", replaced("COCO, masks", b'"area": 6', b'"area": ' + b"9" * 400), ""),
    "COCO: an area of 1e400": ("COCO, masks", replaced("COCO, masks", b'"area": 6', b'"area": 1e400'), ""),
    "COCO: huge coordinates that cancel out": (
        "COCO, masks",
        lambda: json.dumps(
            json.loads(hostile("COCO, masks"))
            | {
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[10**400, -(10**400), 0, 0, 0, 0]]}
                ]
            }
        ).encode(),
        "",
    ),
    "COCO: run lengths of 5,000 digits": (
        "COCO, masks",
        lambda: re.sub(rb'"counts": \[[^\]]*\]', b'"counts": [1, ' + b"9" * 4000 + b"]", hostile("COCO, masks")),
        "",
    ),
    "COCO: a run length that never ends": (
        "COCO, masks",
        lambda: hostile("COCO, masks").replace(b'"0<"', b'"' + b"o" * 5_000_000 + b'"'),
        "",
    ),
    "COCO: run lengths for a billion pixels a side": (
        "COCO, masks",
        lambda: re.sub(rb'"size": \[[^\]]*\]', b'"size": [1000000000, 1000000000]', hostile("COCO, masks")),
        "",
    ),
    "COCO: 60,000 categories": ("COCO, labels", lambda: coco_of(60_000), "?"),
    "COCO: a path that leads out": ("COCO, labels", replaced("COCO, labels", b"a.png", b"../../../etc/passwd"), ""),
    "COCO: an absolute path": ("COCO, labels", replaced("COCO, labels", b"a.png", b"/etc/passwd"), ""),
    "COCO: NUL in a name": ("COCO, labels", replaced("COCO, labels", b"a.png", b"a\\u0000.png"), ""),
    "COCO: half a character in a name": ("COCO, labels", replaced("COCO, labels", b"a.png", b"a\\ud800.png"), ""),
    "COCO: a name of 20,000 folders": (
        "COCO, labels",
        replaced("COCO, labels", b"a.png", b"a/" * 20_000 + b"a.png"),
        "",
    ),
    "Label Studio: 20,000 annotations of one image": ("Label Studio, labels", lambda: studio_of(20_000), ""),
    "Label Studio: numbers that are none": (
        "Label Studio, masks",
        replaced("Label Studio, masks", b'"radiusX": 5', b'"radiusX": NaN'),
        "?",
    ),
    "LabelMe: numbers that are none": ("LabelMe, masks", replaced("LabelMe, masks", b"1,\n", b"Infinity,\n"), "?"),
    "CSV: a million columns": ("CSV", lambda: columns(10**6, "last"), "row 1: has 1,000,003 cells"),
    "CSV: a million columns, two of them equal": ("CSV", lambda: columns(10**6, "c0"), "row 1: has 1,000,003 cells"),
    "CSV: 15,000 columns, two of them equal": ("CSV", lambda: columns(15_000, "c0"), "the column 'c0' is twice"),
    "CSV: a cell of 100 MB": (
        "CSV",
        lambda: b"file_name,label,weight,split\na.png,cat," + b"1" * (100 << 20) + b",train\n",
        "row 2: not valid CSV: field larger",
    ),
    "CSV: a quoted cell of 100 MB": (
        "CSV",
        lambda: b'file_name,label,weight,split\na.png,"' + b"x" * (100 << 20) + b'",1,train\n',
        "not valid CSV: field larger",
    ),
    "CSV: NUL": ("CSV", lambda: b"file_name,label,weight,split\na.png,c\0at,1,train\n", "is not text"),
    "CSV: a weight of 1e400": (
        "CSV",
        replaced("CSV", b"1.5", b"1e400"),
        r"row 2: column 'weight': expected a finite number",
    ),
    "CSV: a weight that is no number": (
        "CSV",
        replaced("CSV", b"1.5", b"NaN"),
        r"row 2: column 'weight': expected a finite number",
    ),
    "CSV: paths that lead out": ("CSV", replaced("CSV", b"a.png", b"../../etc/passwd"), ""),
    "CSV: an absolute path": ("CSV", replaced("CSV", b"a.png", b"/etc/passwd"), ""),
    "CSV: UTF-16": ("CSV", lambda: hostile("CSV").decode().encode("utf-16"), ""),
    "CSV: UTF-16 that is cut": ("CSV", lambda: hostile("CSV").decode().encode("utf-16")[:-1], "cannot be read"),
    "CSV: a mark of UTF-8": ("CSV", lambda: b"\xef\xbb\xbf" + hostile("CSV"), ""),
    "CSV: ends of lines of Windows": ("CSV", lambda: hostile("CSV").replace(b"\n", b"\r\n"), ""),
    "CSV: ends of lines of old Macs": ("CSV", lambda: hostile("CSV").replace(b"\n", b"\r"), ""),
    "CSV: a list of 60,000 quotes": (
        "CSV, several labels",
        lambda: b'file_name,labels\na.png,"[' + b"'" * 60_000 + b']"\n',
        "?",
    ),
    "table of blanks: a count of 5,000 digits": (
        "table of blanks",
        lambda: b"9" * 5000 + b"\na.png  1\nb.png 1\n",
        "?",
    ),
    "JSON: a key that is there twice, behind a million": (
        "JSON",
        lambda: b"[{" + b",".join(b'"k%d":1' % i for i in range(10**6)) + b',"k7":1}]',
        "the key 'k7' is there twice",
    ),
    "JSON: a label of a megabyte": ("JSON", replaced("JSON", b'"cat"', b'"' + b"c" * (1 << 20) + b'"'), "?"),
    "JSON: a label of NUL": ("JSON", replaced("JSON", b'"cat"', b'"c\\u0000at"'), "cannot be a label name"),
    "JSON: a path that leads out": ("JSON", replaced("JSON", b"a.png", b"..\\\\..\\\\x.png"), ""),
    "list: a line of a million folders": ("Pascal VOC, lists", lambda: b"a\nb\n" + b"a/" * 10**6 + b"z\n", ""),
    "Parquet: 12 rows with one image of 100 MB": ("Parquet", lambda: parquet_of(100 << 20, 12), ""),
}


def case(number: int) -> int:
    name, make, expected = CASES[list(CASES)[number]]
    images, sentence = told_of(name, make())
    if expected == "":
        assert not sentence, sentence[:300]
    elif expected != "?":
        assert re.search(expected, sentence), sentence[:300] or f"{images} images were read"
    return REFUSED if sentence else USED


def check(outcome: confined.Outcome, names: list[str]) -> None:
    assert not outcome.crashed, {names[i % len(names)]: reason for i, reason in outcome.crashed.items()}
    assert not outcome.hung, [names[i % len(names)] for i in outcome.hung]
    assert not outcome.escaped, {(i, names[i % len(names)]): reason for i, reason in outcome.escaped.items()}


def test_what_was_made_to_do_harm_is_read_or_refused_in_one_sentence() -> None:
    outcome = confined.run(case, len(CASES), warm, memory=3 << 30, seconds=60)
    check(outcome, list(CASES))
    assert outcome.slowest[0] < 30, (list(CASES)[outcome.slowest[1]], outcome.slowest)


def test_mutations_are_read_or_refused_in_one_sentence() -> None:
    outcome = confined.run(mutation, MANY, warm, step=FEW)
    check(outcome, list(SETS))
    assert min(outcome.counts[USED], outcome.counts[REFUSED]) > MANY // FEW // 10


@pytest.mark.slow
def test_twelve_thousand_mutations_are_read_or_refused_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = confined.run(mutation, MANY, warm)
    by_name = {
        name: Counter(outcome.codes[i] for i in range(n, MANY, len(SETS)) if i in outcome.codes)
        for n, name in enumerate(SETS)
    }
    with capsys.disabled():
        print({name: f"{counts[USED]} read, {counts[REFUSED]} refused" for name, counts in by_name.items()})
        command = "test_hostile_labels.py -k twelve_thousand"
        confined.add_to_table("mutated tables, annotations and lists", outcome, outcome.used, command)
    check(outcome, list(SETS))
