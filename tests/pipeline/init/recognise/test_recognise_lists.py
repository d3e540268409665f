"""Lists separated by blanks, rows of labels that apply or not, words in a cell, and what is said of useless tables."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.base.errors import ConfigError
from components.data.dataset import Dataset
from pipeline.init.readings import readings
from pipeline.init.recognise import tables
from pipeline.init.recognise.sight import Proposal, Sight

See = Callable[..., Sight]
Take = Callable[[Sight, Proposal], tuple[Dataset, object]]

SIX = [f"{i}.jpg" for i in range(6)]


def ways(sight: Sight) -> list[Proposal]:
    return [proposal for proposal in tables.recognise(sight) if not proposal.problem]


def problems(sight: Sight) -> list[str]:
    return [proposal.problem for proposal in tables.recognise(sight) if proposal.problem]


def truth(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {record.path: record.labels for record in dataset.records}


@pytest.mark.parametrize("blanks", [" ", "   ", " \t "])
@pytest.mark.parametrize("labels", [["0", "1", "0", "1", "0", "1"], ["cat", "dog", "cat", "dog", "cat", "dog"]])
def test_a_list_of_paths_and_labels(see: See, taken: Take, tmp_path: Path, blanks: str, labels: list[str]) -> None:
    lines = [f"images/{name}{blanks}{label}\n" for name, label in zip(SIX, labels, strict=True)]
    sight = see(tmp_path, *(f"images/{name}" for name in SIX), files={"train.txt": "".join(lines)})
    proposal = ways(sight)[0]
    assert proposal.tasks[0] == "single_label"
    assert truth(taken(sight, proposal)[0]) == {f"images/{n}": (k,) for n, k in zip(SIX, labels, strict=True)}


def test_one_list_for_each_split(see: See, taken: Take, tmp_path: Path) -> None:
    lists = {
        "train.txt": "images/0.jpg cat\nimages/1.jpg dog\nimages/2.jpg  cat\nimages/3.jpg dog\n",
        "val.txt": "images/4.jpg cat\n",
        "test.txt": "images/5.jpg dog\n",
    }
    sight = see(tmp_path, *(f"images/{name}" for name in SIX), files=lists)
    dataset = taken(sight, ways(sight)[0])[0]
    assert [r.split for r in dataset.records] == ["train"] * 4 + ["eval", "test"]
    assert [r.labels[0] for r in dataset.records] == ["cat", "dog", "cat", "dog", "cat", "dog"]


def test_several_flags_behind_each_path(see: See, taken: Take, tmp_path: Path) -> None:
    flags = ["1 0 1", "0 0 1", "1 1 0", "0 0 0", "1 1 1", "0 1 0"]
    lines = [f"{name} {cells}\n" for name, cells in zip(SIX, flags, strict=True)]
    sight = see(tmp_path, *(f"images/{name}" for name in SIX), files={"list.txt": "".join(lines)})
    dataset = taken(sight, ways(sight)[0])[0]
    assert truth(dataset)["images/2.jpg"] == ("column_2", "column_3")
    assert truth(dataset)["images/3.jpg"] == ()


@pytest.mark.parametrize("zero", [False, True])
def test_attributes_of_minus_one_and_one(see: See, taken: Take, tmp_path: Path, zero: bool) -> None:
    """As CelebA has them: the number of rows, a header without a name for the files, aligned cells."""
    cells = ["  1 -1 -1", " -1 -1  1", "  1 -1  1", " -1 -1 -1", "  1 -1  1", " -1 -1  1"]
    if zero:
        cells[0] = "  1  0 -1"
    lines = "".join(f"{name} {row}\n" for name, row in zip(SIX, cells, strict=True))
    sight = see(tmp_path, *(f"img/{name}" for name in SIX), files={"list_attr.txt": f"6\nSmiling Male Young\n{lines}"})
    proposal = ways(sight)[0]
    assert proposal.data["columns"]["values"] == {"-1": None if zero else "0"}
    assert ("taken for no" in proposal.comments["data.columns.values"]) is not zero
    dataset = taken(sight, proposal)[0]
    assert sorted(dataset.labels) == ["Male", "Smiling", "Young"] if not zero else "Smiling" in dataset.labels
    assert truth(dataset)["img/2.jpg"] == ("Smiling", "Young")
    third = next(r for r in dataset.records if r.path == "img/3.jpg")
    assert (third.labels, third.unknown == ()) == ((), not zero)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"Bild {i}.jpg\n" for i in range(6)),
        "These pictures were taken\nin the spring of that year.\n",
        "0.jpg is the first picture\n1.jpg is the other picture\n",
    ],
    ids=["names with blanks", "prose", "prose about files"],
)
def test_names_with_blanks_and_prose_are_no_lists(see: See, tmp_path: Path, text: str) -> None:
    names = (*SIX, *(f"Bild {i}.jpg" for i in range(6)))
    assert ways(see(tmp_path, *names, files={"notes.txt": text})) == []


def test_rows_whose_label_applies_or_does_not(see: See, taken: Take, tmp_path: Path) -> None:
    """As Open Images has them. 0.jpg: a cat, no car; 1.jpg: no cat, a car; 2.jpg to 5.jpg: nothing said of cars."""
    rows = ["0,crowd,cat,1", "0,machine,car,0", "1,machine,cat,0", "1,crowd,car,1"]
    rows += [f"{i},crowd,{'cat' if i % 2 else 'dog'},1" for i in range(2, 6)]
    files = {"labels.csv": "ImageID,Source,LabelName,Confidence\n" + "\n".join(rows)}
    sight = see(tmp_path, *(f"train/{name}" for name in SIX), files=files)
    proposal = ways(sight)[0]
    assert proposal.data["columns"] == {"image": "ImageID", "labels": "LabelName", "applies": "Confidence"}
    dataset = taken(sight, proposal)[0]
    assert dataset.rejected == ()
    assert [(r.labels, r.unknown) for r in dataset.records[:3]] == [
        (("cat",), ("dog",)),
        (("car",), ("dog",)),
        (("dog",), ("car", "cat")),
    ]


def test_flags_of_rows_that_are_no_confidence_are_named(see: See, tmp_path: Path) -> None:
    rows = ["0,cat,1", "0,car,0", "1,cat,0", "1,car,1", "2,cat,1", "3,car,0", "4,cat,0", "5,car,0"]
    files = {"labels.csv": "image_id,label,IsOccluded\n" + "\n".join(rows)}
    (proposal,) = ways(see(tmp_path, *SIX, files=files))
    assert proposal.data["columns"] == {"image": "image_id", "labels": "label"}
    assert len(proposal.notes) == 1
    assert "the column 'IsOccluded' is not used: each row's label counts as present" in proposal.notes[0]
    assert proposal.notes[0].endswith("set data.columns.applies: IsOccluded")


@pytest.mark.parametrize(
    ("cells", "tasks"),
    [
        # 4 different words (clear, haze, water, road) in 6 different cells
        (
            ["clear water", "haze water", "clear", "haze", "clear road", "haze clear water"],
            ["multi_label", "single_label"],
        ),
        # 3 words in 2 cells
        (["golden retriever", "labrador retriever"] * 3, ["single_label", "multi_label"]),
        # no word is in two different cells
        (["polar bear", "red fox"] * 3, ["single_label"]),
        (["cat", "dog"] * 3, ["single_label"]),
    ],
)
def test_words_of_a_cell_are_tags_where_they_recur(
    see: See, taken: Take, tmp_path: Path, cells: list[str], tasks: list[str]
) -> None:
    files = {"labels.csv": "file,tags\n" + "".join(f"{n},{c}\n" for n, c in zip(SIX, cells, strict=True))}
    sight = see(tmp_path, *SIX, files=files)
    found = ways(sight)
    assert [proposal.tasks[0] for proposal in found] == tasks
    assert [proposal.data.get("separator") for proposal in found] == [
        " " if t == "multi_label" else None for t in tasks
    ]
    assert [reading.task for reading in readings(sight, None, [tables.recognise]) if reading.is_named] == tasks
    if len(set(cells)) == 6:
        assert taken(sight, found[0])[0].labels == ("clear", "haze", "road", "water")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "file,kind\n0.jpg,cat\n1.jpg,dog\n2.jpg,cat,brown\n",
            "t.csv: row 4: expected 2 cells as in the header, got 3; put cells that contain a comma in quotes",
        ),
        (
            "file,age\n" + "".join(f"{i}.jpg,{18 + i / 2}\n" for i in range(6)),
            "t.csv names images, but its column 'age' has 6 different values in 6 rows, so it holds no labels",
        ),
        ("file\n" + "".join(f"{i}.jpg\n" for i in range(6)), None),
        (
            "file,size\n" + "".join(f"{i}.jpg,{2 + i % 3}\n" for i in range(6)),
            (
                "t.csv names images, but its column 'size' has 3 different numbers, which may be no labels; if they "
                "are, set data.columns.labels: size"
            ),
        ),
        (
            "file,kind\nx.jpg,cat\ny.jpg,dog\n",
            "t.csv: most file names in its column 'file' are those of no image here, such as 'x.jpg' in row 2",
        ),
        ("file,kind\n0.jpg,cat\n", "t.csv names only 1 of 6 images"),
    ],
    ids=["a row too long", "all values differ", "no other column", "numbers", "no file", "few files"],
)
def test_a_table_that_cannot_be_used_is_not_passed_over(
    see: See, tmp_path: Path, text: str, problem: str | None
) -> None:
    sight = see(tmp_path, *(f"images/{name}" for name in SIX), files={"t.csv": text})
    assert ways(sight) == []
    if problem is not None:
        assert problems(sight) == [problem]
        with pytest.raises(ConfigError) as caught:
            readings(sight)
        assert problem in str(caught.value)
