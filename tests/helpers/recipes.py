"""The recipes of CONTRIBUTING.md, followed to the letter: files are written, diffs applied, commands run."""

import re
import shlex
import subprocess
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(language, path or "", text) of every fenced block below the heading "Recipes"."""
    recipes = page.read_text().partition("\n## Recipes\n")[2]
    return [(language, path, text) for language, path, text in _BLOCK.findall(recipes.partition("\n## ")[0])]


def follow(page: Path, folder: Path) -> None:
    """Follows every block, in order: a file, a diff, or commands that copy files."""
    for language, path, text in blocks(page):
        if language == "diff":
            command = ["git", "apply", "--unidiff-zero", "--whitespace=nowarn", "-"]
            subprocess.run(command, input=text, text=True, check=True, cwd=folder)
        elif language == "console":
            for line in text.splitlines():
                subprocess.run(shlex.split(line.removeprefix("$ ")), check=True, cwd=folder)
        elif path:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
