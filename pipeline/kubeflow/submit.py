"""`imagegate submit`: uploads the pipeline to a Kubeflow Pipelines server and starts a run."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from pipeline.kubeflow.api_errors import required_id
from pipeline.kubeflow.package import Package
from pipeline.kubeflow.server import Server, quietly


@quietly()
def submit(client: Any, server: Server, package: Package, values: Mapping[str, Any]) -> str:
    """Starts a run of a new version of the pipeline; returns the run's ID."""
    experiment, pipeline, version, name = upload(client, server, package)
    run = client.run_pipeline(
        experiment,
        f"{package.name} {name}",
        pipeline_id=pipeline,
        version_id=version,
        params=dict(values),
        pipeline_root=package.root,
    )
    return required_id(run.run_id, server.host)


@quietly()
def upload(client: Any, server: Server, package: Package) -> tuple[str, str, str, str]:
    """Adds a version to the pipeline, which is created where there is none.

    Returns:
        IDs of the experiment, the pipeline and the version, and the version's name.
    """
    experiment = client.create_experiment(name=package.name, namespace=server.namespace)
    return required_id(experiment.experiment_id, server.host), *upload_version(client, server, package)


@quietly()
def upload_version(client: Any, server: Server, package: Package) -> tuple[str, str, str]:
    """Adds a version to the pipeline, created where there is none; returns their IDs and the version's name."""
    import kfp_server_api

    pipelines = client.list_pipelines(
        namespace=server.namespace, filter=name_filter(package.name), page_size=100
    ).pipelines
    pipeline = next((p for p in pipelines or () if p.display_name == package.name), None)
    if pipeline is None:
        pipeline = client._pipelines_api.pipeline_service_create_pipeline(
            kfp_server_api.V2beta1Pipeline(display_name=package.name, namespace=server.namespace)
        )
    name, identity = package.version(), required_id(pipeline.pipeline_id, server.host)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pipeline.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(package.text)
        version = client.upload_pipeline_version(path, name, pipeline_id=identity)
    return identity, required_id(version.pipeline_version_id, server.host), name


def name_filter(name: str) -> str:
    """Returns the API's filter for a display name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
