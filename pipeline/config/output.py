"""The section `output`: where runs are written, and what stays of them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from components.base.values import Positive, Value
from components.data.location import Location


class Output(Value):
    """Where runs are written, and what stays of them. `output: FOLDER` is short for `output: {folder: FOLDER}`."""

    folder: str | None = Field(None, description="Folder of the runs. Default: `runs/NAME`, with the `name` above.")
    artifacts: Location | None = Field(
        None,
        description="URL of a folder in an object store, such as `s3://BUCKET/FOLDER`, for what the stages write: "
        "shards, statistics, models, evaluations. Stages work on copies on this machine, below `folder`, where "
        "everything else stays. One configuration each. Default: the folder `pipeline` below `folder`. See "
        "[object stores](scaling.md#object-stores).",
    )
    keep: Positive = Field(
        5,
        description="How many runs keep what their stages wrote. What older runs wrote is removed after each run, "
        "unless a newer run uses it, or it belongs to the run that pushed last. Reports, summaries and logs stay.",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, told: Any) -> Any:
        return {"folder": told} if told is None or isinstance(told, str) else told
