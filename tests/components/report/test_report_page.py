"""The page as text; tests/end_to_end/test_report.py opens it in a browser."""

import html.parser
import re

import pytest

from components.gates.judge import Rule, judge
from components.report import page
from components.report.run_summary import RunSummary

HOSTILE = "<script>alert('x')</script>&\"'\u202egnp.exe"
PIXEL = "data:image/webp;base64,UklGRg=="

REGRESSIONS = {
    "numbers": [
        {
            "where": {},
            "numbers": {
                "regressions": 3,
                "example_count": 40,
                f"regressions/{HOSTILE}": 3,
                f"effective_positives/{HOSTILE}": 20,
            },
        }
    ],
}


def summary(**more: object) -> RunSummary:
    failed = vars(judge(Rule(gate="model_gate", metric="recall", label=HOSTILE, minimum=0.5), 0.25))
    fields = {
        "run_id": "20260102T030405-abcdef",
        "name": "birds",
        "task": "single_label",
        "status": "not_blessed",
        "exit_code": 4,
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 12.5,
        "stages": [{"name": "Trainer", "seconds": 3.0, "cached": False}],
        "data": {
            "counts": {"train": 8, "eval": 1, "test": 1},
            "labels": {HOSTILE: {"train": 8, "eval": 1, "test": 1}},
            "quarantined": [{"path": HOSTILE, "reason": HOSTILE}],
            "excluded": [{"path": HOSTILE, "reason": HOSTILE}],
        },
        "metrics": {"accuracy": 0.5},
        "per_label": {HOSTILE: {"support": 1.0, "f1": 0.5}},
        "slices": [{"slice": {HOSTILE: HOSTILE}, "metrics": {"accuracy": 0.5}, "per_label": {}}],
        "weak_groups": {
            "images": 400,
            "fewest": 10,
            "tried": 70,
            "groups": [
                {"name": HOSTILE, "measure": "accuracy", "value": 0.25, "rest": 0.75, "chance": 1e-6, "count": 40}
            ],
        },
        "trivial": {"methods": [{"name": HOSTILE, "numbers": {"accuracy": 0.25}}]},
        "baseline": {"version": "5", "regressions": REGRESSIONS},
        "gates": [failed],
        "error": failed["reason"],
        "notes": [HOSTILE],
        "configuration": {"name": HOSTILE},
        "fingerprints": {"data": HOSTILE},
    }
    return RunSummary(**fields | more)


def evidence() -> dict:
    shown = {
        "path": HOSTILE,
        "truth": [HOSTILE],
        "predicted": ["owl"],
        "probability": 0.5,
        "note": HOSTILE,
        "thumbnail": "i0",
        "split": "test",
    }
    return {
        "charts": [{"title": HOSTILE, "svg": "<svg></svg>"}],
        "confusion": {"labels": [HOSTILE, "owl"], "counts": [[1, 0], [0, 1]], "totals": [1, 1], "omitted": 0},
        "cases": [{"label": HOSTILE, "tp": 1, "fp": 0, "fn": 0, "tn": 0}],
        "examples": {
            "labels": [{"label": HOSTILE, "mistakes": [shown], "hits": [shown], "random": [shown]}],
            "suspects": [shown],
            "unfamiliar": [shown],
            "groups": [{"name": HOSTILE, "images": [shown]}],
            "regressions": [shown],
            "omitted": HOSTILE,
        },
        "duplicates": [{"first": shown, "second": shown, "what": HOSTILE, "bits": None}],
        "findings": [{"kind": HOSTILE, "images": [shown]}],
        "images": {"i0": PIXEL},
    }


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, and texts, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_names_that_contain_markup_are_shown_as_text() -> None:
    text = page.render(summary(), evidence())
    parsed = Reader(text)
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert sum("alert('x')" in part for part in parsed.text) > 10
    assert "\u202e" not in text  # marks that change the direction of text are shown as escapes
    assert "\\u202egnp.exe" in text


def test_the_page_loads_nothing_from_elsewhere() -> None:
    parsed = Reader(page.render(summary(), evidence()))
    for tag, attributes in parsed.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert (attributes.get("src") or PIXEL) == PIXEL
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    [policy] = [a["content"] for tag, a in parsed.tags if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


def test_every_id_is_unique_and_every_link_has_a_target() -> None:
    parsed = Reader(page.render(summary(), evidence()))
    ids = [a["id"] for _, a in parsed.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = {a["href"].removeprefix("#") for tag, a in parsed.tags if tag == "a"}
    assert links <= set(ids)
    assert "rule-1" in links  # the reason in the verdict leads to the rule that failed


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"status": "pushed", "pushed": {"version": "17", "path": "/m/17"}, "error": None}, "Pushed as version 17."),
        (
            {"status": "up_to_date", "pushed": {"version": "17", "path": "/m/17"}, "error": None},
            "Nothing has changed: version 17 stays in service.",
        ),
        (
            {"error": "a\nb"},
            "Refused by the model gate, for 2 reasons. The served model is untouched.",
        ),
        (
            {"status": "data_rejected", "error": "a"},
            "Refused by the data gate, for 1 reason. Nothing was trained; the served model is untouched.",
        ),
        ({"status": "failed", "error": "the disk is full"}, "Failed. The served model is untouched."),
    ],
)
def test_the_verdict_is_one_sentence(more: dict, sentence: str) -> None:
    text = page.render(summary(**more), {})
    heading = re.search(r'<h2 id="verdict-title">(.*?)</h2>', text, re.DOTALL)
    assert sentence in heading[1]


def test_a_failed_run_has_a_page() -> None:
    text = page.render(RunSummary(name="x", task="segmentation", status="failed", error="no disk"), {})
    assert "no disk" in text
    assert "No rule was checked." in text


def test_notes_on_the_data_stand_before_those_on_the_result() -> None:
    data = {"notes": ["2 images with <several> pages"]}
    text = page.render(summary(data=data, notes=["no comparison"]), {})
    assert "<summary>2 notes</summary><ul><li>2 images with &lt;several&gt; pages</li><li>no comparison</li>" in text


def test_many_reasons_are_cut_and_counted() -> None:
    text = page.render(summary(error="\n".join(f"reason {i}" for i in range(20))), {})
    assert "reason 7<" in text
    assert "reason 8<" not in text
    assert "and 12 more" in text


def test_a_page_that_grows_too_large_leaves_pictures_out_and_says_so() -> None:
    content = evidence()
    content["images"]["i0"] = "data:image/webp;base64," + "A" * 1_000_000
    # The picture is used 10 times (3 of the label, suspects, unfamiliar, finding, group, regression, 2 of the pair):
    # 4 MB without 6.
    text = page.render(summary(), content)
    assert len(text.encode()) < page.LIMIT
    assert (
        "Left out to keep this page small: random examples, least confident correct predictions, least familiar "
        "images, pictures of findings, suspected label errors, images of weak groups."
    ) in text
    assert content["examples"]["labels"][0]["random"]  # the caller's evidence is not changed


def test_a_caption_has_as_many_names_as_fit() -> None:
    content = evidence()
    content["examples"]["labels"][0]["mistakes"][0] |= {"truth": [*"abcdef"], "predicted": ["b"]}
    assert "<b>a, b, c, d +2</b>" in page.render(summary(), content)


def test_the_page_says_how_the_weights_were_chosen() -> None:
    chosen = {"measure": "tempered_loss", "phase": "head", "epoch": 1, "epochs": 2, "allowed": 2, "loss": 1, "last": 2}
    assert "The weights are those after epoch 1 of 2 of training the head." in page.render(
        summary(checkpoint=chosen), evidence()
    )


def test_weak_groups_and_trivial_methods_have_sections_of_their_own() -> None:
    parsed = Reader(page.render(summary(), evidence()))
    assert {"weak-groups", "trivial-methods"} <= {a["id"] for _, a in parsed.tags if "id" in a}
    assert {"Weak groups", "Trivial methods"} <= set(parsed.text)
    sentence = "70 groups of 10 or more of the 400 test images were tried; 1 is weaker than the rest beyond chance."
    assert sentence in parsed.text
    without = Reader(page.render(summary(weak_groups=None, trivial=None), {}))
    assert not {"Weak groups", "Trivial methods"} & set(without.text)


def test_regressions_have_a_section_with_their_number_by_label_and_pictures() -> None:
    parsed = Reader(page.render(summary(), evidence()))
    assert "Of the 40 images that are compared, 3 were right in version 5 and are wrong now." in parsed.text
    assert {"Regressions", "Regressions by label", "Right in the served model, wrong now"} <= set(parsed.text)
    none = {"numbers": [{"where": {}, "numbers": {"example_count": 40}}]}
    served = {"version": "5", "regressions": none}
    text = Reader(page.render(summary(baseline=served), {})).text
    assert "Of the 40 images that are compared, none were right in version 5 and are wrong now." in text
    assert "Regressions" not in Reader(page.render(summary(baseline=None), {})).text


def test_the_pictures_of_weak_groups_are_left_out_before_those_of_mistakes() -> None:
    content = evidence()
    content["images"]["i0"] = "data:image/webp;base64," + "A" * 1_300_000  # 3 are 3.9 MB, and 4 are too many
    text = page.render(summary(), content)
    assert "least familiar images, pictures of findings, suspected label errors, images of weak groups, " in text
    assert "images that the served model had right." in text
    assert text.count("A" * 1_300_000) == 3  # the mistake and the pair
    assert "1 is weaker than the rest beyond chance." in text
