"""Projects that ran without a fault, once for each task: what those with faults must come to in the end."""

from collections.abc import Callable

import pytest
from broken import small
from projects import Project


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Project]:
    """`undisturbed("segmentation")`: a project of that task, after one run. Tests change nothing in it."""
    made: dict[str, Project] = {}

    def get(task: str) -> Project:
        if task not in made:
            made[task] = small.write(tmp_path_factory.mktemp(task) / "project", task)
            assert made[task].run()["status"] == "pushed"
        return made[task]

    return get
