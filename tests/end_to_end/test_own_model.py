"""A run with a network of the user's own: served like any other, trained again when its file changes."""

import re
from pathlib import Path

import pytest
from projects import Project, ran

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]


def test_a_run_with_the_documented_network(tiny: Project) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own-model.md").read_text(), re.DOTALL)
    file = tiny.folder / "my_model.py"
    file.write_text(code)
    summary = tiny.run("training.module=my_model.py")
    assert summary["exit_code"] in (0, 4)
    assert {"Trainer", "Evaluator"} <= ran(summary)
    again = tiny.run("training.module=my_model.py")
    assert "Trainer" not in ran(again)
    file.write_text(code.replace("(16, 32)", "(8, 16)"))
    changed = tiny.run("training.module=my_model.py")
    assert "Trainer" in ran(changed)
    assert "ImageExampleGen" not in ran(changed)

    file.write_text(code.replace("return keras.Model(images, Attention()(x))", "return images.undefined"))
    broken = tiny.run("training.module=my_model.py")
    log = tiny.output / "latest" / "log.txt"
    line = file.read_text().splitlines().index("    return images.undefined") + 1
    assert broken["exit_code"] == 2
    assert broken["error"].startswith(f"training.module: {file}, line {line}: build broke: AttributeError: ")
    assert broken["error"].endswith(f"; see {log.resolve()}")
    assert f'File "{file}", line {line}, in build' in log.read_text()
