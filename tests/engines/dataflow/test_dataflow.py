"""What Dataflow is asked to do, by a service on this machine; see `service`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.internal.gcp import auth

from engines import outcomes
from engines.dataflow import service
from pipeline.config.beam import runners

BUCKET, PROJECT, REGION = "pictures", "a-project", "europe-west4"
IMAGE = "europe-west4-docker.pkg.dev/a-project/images/imagegate@sha256:" + "0" * 64
OPTIONS = [
    "--runner=DataflowRunner",
    f"--project={PROJECT}",
    f"--region={REGION}",
    f"--temp_location=gs://{BUCKET}/temp",
    f"--staging_location=gs://{BUCKET}/staging",
    f"--sdk_container_image={IMAGE}",
    "--machine_type=n2-standard-4",
    "--num_workers=3",
    "--max_num_workers=20",
    "--disk_size_gb=50",
    "--subnetwork=regions/europe-west4/subnetworks/private",
    "--no_use_public_ips",
    "--service_account_email=worker@a-project.iam.gserviceaccount.com",
    "--experiments=min_num_workers=2",
    "--dataflow_service_options=enable_image_streaming",
]


@pytest.fixture
def dataflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[service.Service]:
    """The service; this process has the account of nobody."""
    with service.served(BUCKET) as found:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service.account(tmp_path, found.url)))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", found.url)
        monkeypatch.setenv("NO_PROXY", "localhost")
        # Beam keeps the account for the whole process.
        monkeypatch.setattr(auth._Credentials, "_credentials", None)
        monkeypatch.setattr(auth._Credentials, "_credentials_init", False)
        yield found


def test_x(dataflow, tmp_path, monkeypatch):
    monkeypatch.setattr(runners, "_local", lambda *_, **__: ())
    project = outcomes.project(tmp_path / "project", "single_label")
    import json, time
    t=time.time()
    s = project.run(f"beam={json.dumps([*OPTIONS, f'--dataflow_endpoint={dataflow.url}'])}", "training.image_size=[16,16]")
    print(time.time()-t, s["error"], s["status"])
    for j in dataflow.jobs.values():
        print(j.state, j.size, len(j.graph), j.steps, j.messages)
        Path("/tmp/h22c/job.json").write_text(json.dumps(j.request, indent=1))
    print({k: len(v) for k, v in dataflow.objects.items()})
    assert 0
