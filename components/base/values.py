"""The base of every settings class and every record that is written as JSON."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SkipValidation

# Text from the data: file names may hold surrogate escapes, which Pydantic's own check of strings refuses.
ForeignText = Annotated[str, SkipValidation]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
# strict: Pydantic would take the texts yes, on and 1 for true.
Flag = Annotated[bool, Field(strict=True)]
# Trimmed and composed like the labels of the data, whichever editor or file system the name was copied from.
LabelName = Annotated[str, AfterValidator(lambda name: unicodedata.normalize("NFC", name).strip())]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parsed_json(text: str | bytes) -> Any:
    """Parses JSON that somebody else may have written.

    Raises:
        ValueError: it is not valid, or nested so deeply that Python gives up with another error.

    >>> parsed_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


class Value(BaseModel):
    """A frozen object that validates itself when it is built and travels as JSON.

    Unknown keys, infinities and NaN are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self, indent: int | None = None) -> str:
        """This object as ASCII JSON: one line, or with `indent` many."""
        # Twenty times as fast as Pydantic's own dump where there are lists of a million entries.
        return json.dumps(self, default=_fields, ensure_ascii=True, allow_nan=False, indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The object that `to_json` wrote.

        Raises:
            ValueError: it is not JSON, or as pydantic.ValidationError: it holds other keys, or values of other types.
        """
        return cls.model_validate(parsed_json(text))


class Sparse(Value):
    """A record of which only the fields that were set appear in JSON; keys of other releases are ignored."""

    model_config = ConfigDict(extra="ignore")


def is_variable_name(value: object) -> bool:
    """Whether a value may be the name of an environment variable."""
    return isinstance(value, str) and _VARIABLE.fullmatch(value) is not None


def variable_name(value: object) -> object:
    """Returns the name of an environment variable.

    Raises:
        ValueError: it is none. What came is not shown: it may be the secret itself.
    """
    if value is not None and not is_variable_name(value):
        raise ValueError(
            "expected the name of an environment variable, such as SLACK_URL; the value does not belong in the "
            "configuration"
        )
    return value


def _fields(value: object) -> dict[str, object]:
    if isinstance(value, Sparse):
        return {key: field for key, field in vars(value).items() if key in value.model_fields_set}
    if isinstance(value, BaseModel):
        return vars(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
