"""The configurations that docs/layouts.md and README show are configurations."""

import re
from pathlib import Path

import pytest

from pipeline import config

ROOT = Path(__file__).parents[3]
SHOWN = [
    (page, block)
    for page in ("README.md", "docs/layouts.md", "docs/labels.md")
    for block in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
]


def test_the_documentation_contains_layouts() -> None:
    assert len(SHOWN) >= 5


@pytest.mark.parametrize(("page", "block"), SHOWN)
def test_every_documented_layout_loads(page: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "imagegate.yaml"
    path.write_text(block, encoding="utf-8")
    loaded = config.load(str(path))
    assert loaded.source.data.layout == loaded.data.layout
