"""The page of real runs, pushed and refused, and its behaviour in a browser."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from projects import Demo, Project, Run, Trained

pytestmark = pytest.mark.end_to_end

LIMIT = 5_000_000


def page_of(summary: dict[str, Any]) -> str:
    path = Path(summary["report"])
    assert path.name == "report.html"
    assert path.parent.name == summary["run_id"]
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < LIMIT
    return text


def heading(text: str) -> str:
    found = re.search(r'<h2 id="verdict-title">.*?</span>(.*?)</h2>', text, re.DOTALL)
    assert found is not None
    return found[1].strip()


def titles(text: str) -> list[str]:
    return re.findall(r"<h[234][^>]*>([^<]*)</h", text)


def test_a_pushed_run_has_a_page_with_everything_on_it(demo: Demo) -> None:
    text = page_of(demo.summary)
    assert heading(text) == f"Pushed as version {demo.summary['pushed']['version']}."
    assert {"Gates", "Labels", "Slices", "Charts", "Examples", "Run"} <= set(titles(text))
    assert {"Confusion matrix", "Least familiar images", "Stages", "Versions", "Configuration"} <= set(titles(text))
    captions = re.findall(r"<figcaption>([A-Z][^<]*)</figcaption>", text)
    assert {"Precision and recall", "ROC", "Reliability", "Training", "Labels", "Runs: accuracy"} <= set(captions)
    assert text.count('src="data:image/webp;base64,') > 20
    assert f"{demo.summary['metrics']['accuracy']:.3f}" in text


def test_several_labels_have_decisions_in_the_place_of_a_confusion(shapes: Trained) -> None:
    text = page_of(shapes.summary)
    assert "Decisions at a probability of 0.5" in titles(text)
    assert "Confusion matrix" not in titles(text)


def test_masks_are_laid_over_their_images_with_a_legend(regions: Trained) -> None:
    text = page_of(regions.summary)
    assert "Image, truth and prediction" in titles(text)
    assert text.count('alt="truth of ') == text.count('alt="prediction for ') > 5
    for label in regions.summary["per_label"]:
        assert re.search(rf'<span style="background:#[0-9a-f]{{6}}" aria-hidden="true"></span>{label}</li>', text)


def test_a_run_that_the_data_gate_refused_has_a_page(tiny: Project) -> None:
    shutil.copy(tiny.folder / "data" / "0" / "5.png", tiny.folder / "data" / "1" / "stray.png")
    (tiny.folder / "data" / "2" / "<b>broken.jpg").write_bytes(b"\xff\xd8\xff")
    summary = tiny.run()
    assert summary["status"] == "data_rejected"
    text = page_of(summary)
    assert heading(text).startswith("Refused by the data gate, for ")
    assert {"Quarantined files", "Near-duplicates"} <= set(titles(text))
    assert "2/&lt;b&gt;broken.jpg" in text
    assert "different labels" in text


def test_a_run_that_the_model_gate_refused_has_a_page(tiny: Project) -> None:
    summary = tiny.run("evaluation.thresholds=[{metric: accuracy, min: 1.0}, {metric: loss, max: 0}]")
    assert summary["status"] == "not_blessed"
    text = page_of(summary)
    assert heading(text).startswith("Refused by the model gate, for ")
    reason = next(g["reason"] for g in summary["gates"] if not g["passed"])
    assert re.search(rf'<a href="#rule-\d+">{re.escape(reason)}</a>', text)


def test_an_unchanged_run_has_the_page_of_the_pushed_run_under_its_own_verdict(tiny: Project) -> None:
    summary = tiny.run("evaluation.slices=[label]")
    assert summary["stages"] == []
    text = page_of(summary)
    assert heading(text) == f"Nothing has changed: version {summary['pushed']['version']} stays in service."
    assert text.count('src="data:image/webp;base64,') > 5


def test_the_command_writes_the_same_page_again_from_the_artifacts(demo: Demo, imagegate: Callable[..., Run]) -> None:
    path = Path(demo.summary["report"])
    before = path.read_bytes()
    path.unlink()
    done = imagegate("report", path.parent)
    assert (done.code, done.out.strip()) == (0, os.path.realpath(path)), done
    assert path.read_bytes() == before


def test_the_command_without_a_run_ends_in_a_sentence(tiny: Project, imagegate: Callable[..., Run]) -> None:
    shutil.rmtree(tiny.output)
    done = imagegate("report", tiny.config)
    assert done.code == 2
    assert "no run here" in done.err


# In a browser.


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


PAGES = ("demo", "shapes", "regions")


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1400])
def test_a_page_requests_nothing_logs_nothing_and_fits(
    chromium: Any, request: pytest.FixtureRequest, name: str, width: int
) -> None:
    url = Path(request.getfixturevalue(name).summary["report"]).as_uri()
    context = chromium.new_context(viewport={"width": width, "height": 900})
    page, messages, requests = context.new_page(), [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    assert messages == []
    assert [address for address in requests if not address.startswith("data:")] == [url]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0 || !image.complete)")
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_problem(chromium: Any, request: pytest.FixtureRequest, name: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    summary = request.getfixturevalue(name).summary
    # The checker is a script, which the page's policy would not let run.
    context = chromium.new_context(viewport={"width": 390, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(Path(summary["report"]).as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
    context.close()


@pytest.mark.browser
def test_a_column_heading_sorts_by_keyboard_in_both_directions(chromium: Any, demo: Demo) -> None:
    page = chromium.new_page()
    page.goto(Path(demo.summary["report"]).as_uri())
    table = page.locator("#labels table")

    def column() -> list[float]:
        return [float(text) for text in table.locator("tbody tr td:nth-child(2)").all_inner_texts()]

    before = column()
    head = table.get_by_role("button", name="support")
    head.focus()
    page.keyboard.press("Enter")
    assert column() == sorted(before)
    page.keyboard.press("Enter")
    assert column() == sorted(before, reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1
    page.close()


@pytest.mark.browser
def test_a_link_opens_the_section_that_hides_its_rule(chromium: Any, demo: Demo) -> None:
    page = chromium.new_page()
    page.goto(Path(demo.summary["report"]).as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false })")
    rule = page.locator("tr[id=rule-1]")
    assert not rule.is_visible()
    page.evaluate("location.hash = 'rule-1'")
    rule.wait_for(state="visible", timeout=5000)
    page.close()
