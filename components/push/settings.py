"""The section `push` of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from components.base.values import Flag, Fraction, Value, variable_name
from components.data.location import Location

SAVED_MODEL: Literal["saved_model"] = "saved_model"
ExportFormat = Literal["litert", "litert-int8", "onnx", "onnx-int8", "openvino", "openvino-int8"]


def is_key_file(value: object) -> bool:
    """Whether a value may be the path of a file with a key, and is not the key itself."""
    return isinstance(value, str) and bool(value.strip()) and "-----" not in value and "\n" not in value


def key_file(value: object) -> object:
    """Returns the path of a file with a key.

    Raises:
        ValueError: it is none. What came is not shown: it may be the key itself.
    """
    if value is not None and not is_key_file(value):
        raise ValueError("expected the path of a file; the key itself does not belong in the configuration")
    return value


class Sign(Value):
    """The private key with which pushed versions are signed, see [signed models](signing.md)."""

    key: str | None = Field(
        None,
        description="File of the key: in PEM, on the elliptic curve P-256, P-384 or P-521. Keep it where nobody else "
        "can read it. Either this or `key_env`.",
    )
    key_env: str | None = Field(
        None, description="Name of the environment variable that holds the key itself, as a file would."
    )
    password_env: str | None = Field(
        None, description="Name of the environment variable that holds the password of an encrypted key."
    )

    _is_name = field_validator("key_env", "password_env", mode="before")(variable_name)
    _is_path = field_validator("key", mode="before")(key_file)

    @model_validator(mode="after")
    def _consistent(self) -> Sign:
        if (self.key is None) == (self.key_env is None):
            raise ValueError("expected either key, a file, or key_env, the name of a variable")
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the environment variables that signing reads."""
        return tuple(name for name in (self.key_env, self.password_env) if name is not None)


class Verify(Value):
    """The public keys of which one must have signed every version that is used, see [signed models](signing.md)."""

    keys: tuple[Annotated[str, BeforeValidator(key_file)], ...] = Field(
        (), description="Files of public keys in PEM. One file may hold several keys."
    )
    keys_env: str | None = Field(
        None, description="Name of an environment variable that holds public keys, as such a file would."
    )

    _is_name = field_validator("keys_env", mode="before")(variable_name)

    @model_validator(mode="after")
    def _consistent(self) -> Verify:
        if not self.keys and self.keys_env is None:
            raise ValueError("expected keys, files, or keys_env, the name of a variable: nothing verifies without one")
        return self


class Push(Value):
    """The destination of models that pass the model gate; see [pushing](push.md)."""

    destination: Location = Field(
        description="Folder or fsspec URL for pushed models. Each version is a numbered folder in it. TensorFlow "
        "Serving watches a folder; for a URL, see [getting versions to a server](push.md#getting-versions-to-a-server)."
    )
    # `as` is a keyword of Python, so the field cannot be written down like the others.
    __annotations__["as"] = Literal["champion", "challenger"]
    locals()["as"] = Field(
        "champion",
        description="`champion`: the model is served once it is pushed. `challenger`: it stands beside the served "
        "version until `imagegate promote`; see [pushing](push.md#champion-and-challenger).",
    )
    keep: Annotated[int, Field(ge=1, strict=True)] | None = Field(
        5,
        description="After a push, the newest versions that imagegate pushed are kept, this many, and older ones are "
        "deleted. `null` keeps all.",
    )
    take_over: Flag = Field(
        False,
        description="Whether to push to a destination, or roll back in it, although the model served there was pushed "
        "by a configuration of another `name`.",
    )
    without_thresholds: Flag = Field(
        False,
        description="Whether to push a model although `evaluation.thresholds` is empty, so that no metric is judged.",
    )
    sign: Sign | None = Field(
        None, description="With which key versions are signed. See [`push.sign`](#pushsign); `null`: with none."
    )
    verify: Verify | None = Field(
        None,
        description="Whose signatures versions need to be compared with, asked, brought back or promoted. See "
        "[`push.verify`](#pushverify); `null`: nobody's.",
    )
    formats: tuple[Literal["saved_model"] | ExportFormat, ...] = Field(
        (SAVED_MODEL,),
        description="What a version holds besides the SavedModel, which is always there: the model in the formats of "
        "other runtimes, as float32 or as 8-bit integers (`-int8`). Each is run by its runtime and judged; see "
        "[exports](exports.md). One that fails is not pushed.",
    )
    required_formats: tuple[ExportFormat, ...] = Field(
        (), description="Those of `formats` without which the model is not pushed at all."
    )
    max_export_drop: Fraction = Field(
        0.05,
        description="The main metric of each label (F1, or IoU of masks) on the test split may be lower by at most "
        "this much in an export than in the SavedModel.",
    )
    min_export_agreement: Fraction = Field(
        0.9,
        description="Share of the decisions on the test split (of images, of labels of images, or of pixels) that must "
        "be the same in an export as in the SavedModel.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Push:
        if self.verify is not None and self.sign is None:
            raise ValueError(
                "verify: push.sign is missing: a version without a signature would be refused once it is pushed"
            )
        if SAVED_MODEL not in self.formats:
            raise ValueError(
                f"formats: {SAVED_MODEL} is missing, which every version holds; write [{SAVED_MODEL}, "
                f"{', '.join(self.formats) or 'litert'}]"
            )
        for key in ("formats", "required_formats"):
            names = getattr(self, key)
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{key}: {twice} is named twice; remove one")
        if left := next((name for name in self.required_formats if name not in self.formats), None):
            raise ValueError(f"required_formats: {left} is not exported; add it to push.formats, or remove it here")
        return self

    @property
    def exports(self) -> tuple[str, ...]:
        """The formats besides the SavedModel."""
        return tuple(name for name in self.formats if name != SAVED_MODEL)

    @property
    def challenges(self) -> bool:
        """Whether models are pushed to stand beside the served version."""
        return bool(vars(self)["as"] == "challenger")
