"""Options that Beam's runners in Java know, and its Python part does not.

A job server tells Python which options it knows only when a pipeline is handed to it, so the names are written down
here. They are the getters of FlinkPipelineOptions, SparkPipelineOptions, SparkCommonPipelineOptions and
PortablePipelineOptions (org.apache.beam, version 2.70.0) in the spelling in which Python hands options on; those of
Flink are described at https://beam.apache.org/documentation/runners/flink/#pipeline-options-for-the-flink-runner,
those of Spark at https://beam.apache.org/documentation/runners/spark/#pipeline-options-for-the-spark-runner. Left out
are those that Python knows itself, and those that a pipeline in Python cannot set (`files_to_stage`, the Java
environment and the like).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_FLINK = """
allow_non_restored_state attached_mode auto_balance_write_files_sharding_enabled auto_watermark_interval
checkpoint_timeout_millis checkpointing_interval checkpointing_mode disable_metrics enable_stable_input_drain
execution_mode_for_batch execution_retry_delay externalized_checkpoints_enabled fail_on_checkpointing_errors
faster_copy file_input_split_max_size_m_b finish_bundle_before_checkpointing flink_conf_dir force_slot_sharing_group
force_unaligned_checkpoint_enabled job_check_interval_in_secs latency_tracking_interval max_bundle_size
max_bundle_time_mills min_pause_between_checkpoints num_concurrent_checkpoints number_of_execution_retries object_reuse
operator_chaining re_iterable_group_by_key_result report_checkpoint_duration
retain_externalized_checkpoints_on_cancellation savepoint_path shutdown_sources_after_idle_ms state_backend
state_backend_factory state_backend_storage_path unaligned_checkpoint_enabled
"""
_SPARK = """
batch_interval_millis bundle_size cache_disabled checkpoint_dir checkpoint_duration_millis enable_spark_metric_sinks
max_records_per_batch min_read_time_millis prefer_group_by_key_to_handle_huge_values read_time_percentage spark_master
storage_level uses_provided_spark_context
"""
_BOTH = "app_name enable_heap_dumps environment_expiration_millis load_balance_bundles"

FLINK, SPARK = "FlinkRunner", "SparkRunner"

# Option -> the runners whose Java part knows it.
RUNNERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {f"--{name}": frozenset({FLINK}) for name in _FLINK.split()}
    | {f"--{name}": frozenset({SPARK}) for name in _SPARK.split()}
    | {f"--{name}": frozenset({FLINK, SPARK}) for name in _BOTH.split()}
)
