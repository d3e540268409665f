"""Artifacts in ML Metadata's own store, in memory, put there and read back as Kubeflow's launcher and driver do.

The backend makes doubles of numbers, numbers of booleans, wraps lists and objects, and knows no null
(backend/src/v2/metadata/converter.go); a task downstream gets what comes back, without the type.
"""

import json
from typing import Any

import yaml
from google.protobuf import json_format
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

Json = dict[str, Any]

SESSION = '{"Provider":"minio","Params":{"fromEnv":"false","secretName":"mlpipeline-minio-artifact"}}'
LARGEST = 4 * 2**20  # gRPC's default, which the server keeps before 2.16


class Refused(Exception):
    """The backend does not take this."""


def to_value(key: str, given: Any) -> pb.Value:
    value = pb.Value()
    if isinstance(given, str):
        value.string_value = given
    elif isinstance(given, bool):
        value.int_value = int(given)
    elif isinstance(given, int | float):
        value.double_value = given
    elif isinstance(given, list | dict):
        kind = "list" if isinstance(given, list) else "struct"
        json_format.ParseDict({kind: given}, value.struct_value)
    else:
        raise Refused(f"metadata {key}: {json.dumps(given)}")
    return value


def of_value(value: pb.Value) -> Any:
    kind = value.WhichOneof("value")
    if kind == "struct_value":
        return json_format.MessageToDict(value.struct_value)
    found = getattr(value, kind)
    return float(found) if kind == "int_value" else found


def type_name(schema: Json) -> str:
    """The backend parses an instance schema as YAML, and ends itself where that has no title."""
    title = yaml.safe_load(schema["instanceSchema"])["title"] if "instanceSchema" in schema else schema["schemaTitle"]
    assert isinstance(title, str), schema
    return title


class Metadata:
    """The store."""

    def __init__(self) -> None:
        connection = pb.ConnectionConfig()
        connection.fake_database.SetInParent()
        self._store = metadata_store.MetadataStore(connection)

    def record(self, output: str, uri: str, schema: Json, metadata: Json) -> int:
        """Puts an artifact there as the launcher does after a task; its number."""
        kind = self._store.put_artifact_type(pb.ArtifactType(name=type_name(schema)), can_add_fields=True)
        artifact = pb.Artifact(type_id=kind, uri=uri, state=pb.Artifact.LIVE)
        for key, given in ({"display_name": output, "store_session_info": SESSION} | metadata).items():
            artifact.custom_properties[key].CopyFrom(to_value(key, given))
        if artifact.ByteSize() > LARGEST:
            raise Refused(f"{output}: larger than a message to the server may be")
        [number] = self._store.put_artifacts([artifact])
        return number

    def resolve(self, number: int) -> Json:
        """An artifact as the driver gives it to a task downstream."""
        [found] = self._store.get_artifacts_by_id([number])
        properties = {key: of_value(value) for key, value in found.custom_properties.items()}
        # The type stays blank; its kind is that of every artifact.
        return {
            "name": str(found.id),
            "uri": found.uri,
            "type": {"instanceSchema": ""},
            "metadata": properties,
        }

    def type_of(self, number: int) -> str:
        """What the user interface goes by."""
        [found] = self._store.get_artifacts_by_id([number])
        [kind] = self._store.get_artifact_types_by_id([found.type_id])
        return kind.name
