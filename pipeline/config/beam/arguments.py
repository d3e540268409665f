"""The options that Beam gets: those of the user, and what has to be added where they leave something open."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config.beam import options

# Beam's in-process runner by name: its default runner first tries another one, and to download it.
_IN_PROCESS = "--runner=apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
# Beam's type checks take longer than the work of a stage on a few thousand labels.
_NO_TYPE_CHECK = "--no_pipeline_type_check"
# TFX packs itself into an archive of 44 MB for remote workers, once per stage, and adds it as --extra_package, unless
# one of these options is set (tfx.utils.dependency_utils). An image that does not exist is the only one of them that
# does nothing: of Beam 2.77, only Dataflow takes its workers' image from it (runners/dataflow/internal/apiclient.py),
# and so does the building of an image (runners/portability/sdk_container_builder.py). The other runners take the image
# from the options of the environment (transforms/environments.py), which therefore stand as they are.
_NO_PACKING = "--sdk_container_image=none"
_HOLD_CODE = (
    "extra_packages",
    "setup_file",
    "requirements_file",
    "worker_harness_container_image",
    "sdk_container_image",
)


def passed(beam: Sequence[str]) -> list[str]:
    """Returns the options for Beam; what the user wrote is among them, as it was written, and wins.

    Args:
        beam: the key `beam`.
    """
    if not beam:
        return [_IN_PROCESS, _NO_TYPE_CHECK, _NO_PACKING]
    told = options.values(options.given(beam))
    first = [_IN_PROCESS] if told["runner"] is None else []
    packs = not named_code(told) and not told["prebuild_sdk_container_engine"] and not _dataflow(told["runner"])
    return [*first, *beam, *([_NO_PACKING] if packs else [])]


def named_code(told: dict[str, object]) -> bool:
    """Whether an option says where workers have imagegate from."""
    return any(told[name] is not None for name in _HOLD_CODE)


def _dataflow(runner: str | None) -> bool:
    return "dataflow" in (runner or "").lower()
