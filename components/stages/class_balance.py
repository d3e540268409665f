"""ClassBalance: the data gate. It refuses the data set with a reason for each rule, or records what was counted."""

import os

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.base.artifact_files import CLASS_BALANCE, KNOWN_IMAGES
from components.base.errors import ImagegateError
from components.base.files import write_atomically
from components.data import schema
from components.data.manifest import DatasetManifest
from components.gates import data_gate, reference
from components.gates.data_rules.base import GateInput
from components.gates.errors import DataRejected
from components.gates.judge import failed
from components.gates.records import DataGateResult
from components.gates.settings import DataGateLimits
from components.ingest import manifest
from components.ingest.counts.census import Images
from components.model.features.described import of_shards
from components.model.features.settings import FeatureSettings
from components.push import versions
from components.push.signing import trust
from components.stages import artifacts


@component
def ClassBalance(  # noqa: N802  TFX names components like classes
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    class_balance: OutputArtifact[artifacts.ClassBalance],
    frozen: Parameter[str],
    frozen_file: Parameter[str],
    limits: Parameter[str],
    features: Parameter[str],
    task: Parameter[str],
    destination: Parameter[str],
    served_version: Parameter[str],
    verify: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Judges the data set by the limits, by the served model's data and by the anomalies of ExampleValidator.

    Args:
        frozen: text of the user's schema, "" for none.
        frozen_file: path of the user's schema, for messages.
        limits: JSON of `DataGateLimits`.
        features: JSON of `FeatureSettings`, "" without a pretrained backbone.
        task: the task in the configuration.
        destination: folder of the pushed models.
        served_version: version served when the run began, "" for none; part of the cache key.
        verify: JSON of `push.settings.Verify`, "" for null; the served version needs a signature of one of its keys.
        code_fingerprint: changes when the code of this stage does; part of the cache key.

    Raises:
        DataRejected: a rule failed.
        Superseded: the version served when the run began was removed since.
        ImagegateError: the shards do not match the manifest, or the served model's description of its data is broken.
    """
    counted, images = manifest.read(examples.uri), Images.read(examples.uri)
    _compare_counts(counted, statistics)
    served = reference.recall(versions.at_start(destination, served_version, trust.of_json(verify)), task)
    differences = schema.compare(schema.parse(frozen, task, frozen_file), counted, frozen_file) if frozen else []
    # TensorFlow Data Validation reports the same differences, in its own words.
    differences += [(feature, text) for feature, text in _anomalies(anomalies) if feature not in dict(differences)]
    bounds = DataGateLimits.from_json(limits)
    described = of_shards(examples.uri, images, FeatureSettings.from_json(features)) if features else None
    data = GateInput(counted, images, served, differences, described)
    verdicts, found = data_gate.check(data, bounds), data_gate.suspicions(data, bounds)
    if failed(verdicts):
        raise DataRejected(verdicts, counted, suspicions=found)
    kept, content = reference.remember(counted, images)
    result = DataGateResult(
        manifest=counted.model_copy(update={"files": (), "label_sets": []}),
        compared_with=served.version if served else None,
        verdicts=tuple(verdicts),
        pushed=kept,
        suspicions=found,
    )
    with open(os.path.join(class_balance.uri, KNOWN_IMAGES), "wb") as f:
        f.write(content)
    write_atomically(os.path.join(class_balance.uri, CLASS_BALANCE), result.to_json(indent=1))


def _compare_counts(counted: DatasetManifest, statistics: standard_artifacts.ExampleStatistics) -> None:
    """Compares the number of examples that TFDV read from the shards with the number that ingest wrote."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    for split in artifact_utils.decode_split_names(statistics.split_names):
        path = os.path.join(artifact_utils.get_split_uri([statistics], split), "FeatureStats.pb")
        proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(io_utils.read_bytes_file(path))
        examples = proto.datasets[0].num_examples
        if examples != counted.counts[split]:
            raise ImagegateError(
                f"{split}: the statistics counted {examples} examples in the shards, ingest wrote "
                f"{counted.counts[split]}; run again with --force"
            )


def _anomalies(artifact: standard_artifacts.ExampleAnomalies) -> list[tuple[str, str]]:
    """Reads the anomalies of ExampleValidator: (feature, text), each once with its splits."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    splits_of: dict[tuple[str, str], list[str]] = {}
    for split in artifact_utils.decode_split_names(artifact.split_names):
        path = os.path.join(artifact_utils.get_split_uri([artifact], split), "SchemaDiff.pb")
        proto = anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(path))
        for feature, info in proto.anomaly_info.items():
            text = f"{info.short_description}: {info.description}"
            splits_of.setdefault((feature, text), []).append(split)
    return [(feature, f"{text} (in {', '.join(splits)})") for (feature, text), splits in sorted(splits_of.items())]
