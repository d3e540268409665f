"""Parser for the subset of Dockerfile and .dockerignore syntax that this project uses; anything else is an error."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_KEYWORDS = frozenset({"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "USER", "WORKDIR"})


class DockerfileError(Exception):
    """The file is invalid or uses unsupported syntax; the text is one sentence for the user."""


class Instruction(NamedTuple):
    keyword: str
    text: str


@dataclass
class Stage:
    """The instructions from one FROM to the next; `name` is empty for an unnamed stage."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def texts(self, keyword: str) -> list[str]:
        return [i.text for i in self.instructions if i.keyword == keyword]


def instructions(text: str) -> list[Instruction]:
    """Parses the instructions in order. Comments are dropped, and continuation lines joined by a space.

    Raises:
        DockerfileError: an instruction is not supported.

    >>> instructions("FROM debian AS base  \\nRUN make")
    [Instruction(keyword='FROM', text='debian AS base'), Instruction(keyword='RUN', text='make')]
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    parts = [line.strip().partition(" ") for line in joined.splitlines()]
    for keyword, _, _ in parts:
        if keyword not in _KEYWORDS:
            raise DockerfileError(f"{keyword} is not supported, only {', '.join(sorted(_KEYWORDS))}")
    return [Instruction(keyword, rest.strip()) for keyword, _, rest in parts]


def stages(instructions: Sequence[Instruction], arguments: Mapping[str, str]) -> list[Stage]:
    """Splits the instructions into stages.

    Args:
        instructions: as `instructions` returns them.
        arguments: values of `--build-arg`, which override the defaults of ARG before the first FROM.

    Raises:
        DockerfileError: an instruction other than ARG precedes the first FROM, or a FROM has another form.
    """
    known: dict[str, str] = {}
    result: list[Stage] = []
    for instruction in instructions:
        if instruction.keyword == "FROM":
            match = re.fullmatch(r"(\S+)(?: AS (\S+))?", expand(instruction.text, known))
            if not match:
                raise DockerfileError(f"expected FROM IMAGE [AS NAME], got FROM {instruction.text}")
            result.append(Stage(match[1], match[2] or ""))
        elif result:
            result[-1].instructions.append(instruction)
        elif instruction.keyword == "ARG":
            known |= argument(instruction.text, arguments, known)
        else:
            raise DockerfileError(f"{instruction.keyword} precedes the first FROM; only ARG may")
    return result


def argument(text: str, given: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """Evaluates `NAME=DEFAULT` of an ARG: the given value, or else the default."""
    name, _, default = text.partition("=")
    return {name: given.get(name, expand(default, known))}


def pairs(text: str, known: Mapping[str, str]) -> dict[str, str]:
    """Evaluates `A=1 B="two words"` of an ENV or LABEL. As in Docker, values cannot refer to one another."""
    return dict(word.split("=", 1) for word in shlex.split(expand(text, known)))


def words(text: str) -> list[str]:
    """Parses the JSON form of ENTRYPOINT and CMD."""
    arguments: list[str] = json.loads(text)
    return arguments


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replaces `$NAME` and `${NAME}` by their values.

    Raises:
        DockerfileError: a name has no value.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in known:
            raise DockerfileError(f"${name} has no value in: {text}")
        return known[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, text)


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Returns whether .dockerignore excludes a path: the last line that matches it or one of its folders decides."""
    folders = path.split("/")
    heads = ["/".join(folders[: i + 1]) for i in range(len(folders))]
    result = False
    for pattern in patterns:
        expression = _expression(pattern.removeprefix("!"))
        if any(re.fullmatch(expression, head) for head in heads):
            result = not pattern.startswith("!")
    return result


def _expression(pattern: str) -> str:
    """Converts a pattern to a regular expression: `**/` matches any number of folders, `*` any part of a name."""
    names = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return "".join(names.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", pattern))


def patterns(text: str) -> list[str]:
    """Returns the lines of a .dockerignore, without comments and blank lines."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
