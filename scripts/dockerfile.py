"""Reads a Dockerfile and a .dockerignore: as much of both as this project uses, and refuses the rest."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_KEYWORDS = frozenset({"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "USER", "WORKDIR"})


class DockerfileError(Exception):
    """Something in the file is unknown here, or wrong; the text is one sentence for the user."""


class Instruction(NamedTuple):
    keyword: str
    text: str


@dataclass
class Stage:
    """What stands between one FROM and the next; `name` is empty where none was given."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def texts(self, keyword: str) -> list[str]:
        return [i.text for i in self.instructions if i.keyword == keyword]


def instructions(text: str) -> list[Instruction]:
    """The instructions in order, continuation lines joined by a space, without comments.

    Raises:
        DockerfileError: an instruction that is not known here.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    parts = [line.strip().partition(" ") for line in joined.splitlines()]
    for keyword, _, _ in parts:
        if keyword not in _KEYWORDS:
            raise DockerfileError(f"{keyword} is not known here, only {', '.join(sorted(_KEYWORDS))}")
    return [Instruction(keyword, rest.strip()) for keyword, _, rest in parts]


def stages(found: Sequence[Instruction], arguments: Mapping[str, str]) -> list[Stage]:
    """Splits at FROM; `arguments` are those of `--build-arg`, which win over what stands before the first FROM.

    Raises:
        DockerfileError: something else than ARG before the first FROM, or a FROM of another form.
    """
    known: dict[str, str] = {}
    result: list[Stage] = []
    for instruction in found:
        if instruction.keyword == "FROM":
            match = re.fullmatch(r"(\S+)(?: AS (\S+))?", expand(instruction.text, known))
            if not match:
                raise DockerfileError(f"FROM IMAGE [AS NAME] is known here, not FROM {instruction.text}")
            result.append(Stage(match[1], match[2] or ""))
        elif result:
            result[-1].instructions.append(instruction)
        elif instruction.keyword == "ARG":
            known |= argument(instruction.text, arguments, known)
        else:
            raise DockerfileError(f"{instruction.keyword} stands before the first FROM")
    return result


def argument(text: str, given: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """`NAME=DEFAULT` of an ARG -> its value: the given one, else the default."""
    name, _, default = text.partition("=")
    return {name: given.get(name, expand(default, known))}


def pairs(text: str, known: Mapping[str, str]) -> dict[str, str]:
    """`A=1 B="two words"` of an ENV or LABEL; like Docker, no value sees another of the same instruction."""
    return dict(word.split("=", 1) for word in shlex.split(expand(text, known)))


def words(text: str) -> list[str]:
    """The JSON form of ENTRYPOINT and CMD."""
    found: list[str] = json.loads(text)
    return found


def expand(text: str, known: Mapping[str, str]) -> str:
    """Puts values for `$NAME` and `${NAME}`.

    Raises:
        DockerfileError: a name without a value.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in known:
            raise DockerfileError(f"${name} has no value in: {text}")
        return known[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, text)


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether a .dockerignore with these lines keeps a path out: the last line that fits it or its folder decides."""
    folders = path.split("/")
    heads = ["/".join(folders[: i + 1]) for i in range(len(folders))]
    result = False
    for pattern in patterns:
        expression = _expression(pattern.removeprefix("!"))
        if any(re.fullmatch(expression, head) for head in heads):
            result = not pattern.startswith("!")
    return result


def _expression(pattern: str) -> str:
    """`**/` is any number of folders, `*` anything within a name."""
    names = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return "".join(names.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", pattern))


def patterns(text: str) -> list[str]:
    """The lines of a .dockerignore that mean something."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
