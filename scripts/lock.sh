#!/bin/sh
# Resolves pyproject.toml and writes the lock files; `make lock UPGRADE=--upgrade` selects newer versions.
set -eu
cd "$(dirname "$0")/.."
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"  # as in setup.sh

lock() {
  file=$1
  shift
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" --output-file "$file" "$@"
  # Nearly every line has the marker of tfx, which only means "a supported platform". setup.sh rejects other platforms
  # with a message, so the marker is removed here.
  marker=$(sed -n 's/^\(tfx\|pip-audit\)==[^;]* ; \(.*\) \\$/\2/p' "$file")
  awk -v marker=" ; $marker \\\\" '{ at = index($0, marker); print at ? substr($0, 1, at - 1) " \\" : $0 }' \
    "$file" >"$file.new"
  mv "$file.new" "$file"
}

formats="--extra litert --extra onnx --extra openvino"
# shellcheck disable=SC2086  # several words
lock requirements.lock --extra kubeflow --extra mlflow --extra sign --extra dev $formats ${UPGRADE:-} pyproject.toml
# The same packages and versions, plus NVIDIA's libraries.
lock requirements-gpu.lock --extra kubeflow --extra mlflow --extra sign --extra dev --extra gpu $formats \
  --constraints requirements.lock pyproject.toml
# The same versions, without the development tools.
lock requirements-container.lock --extra kubeflow --extra sign $formats --constraints requirements.lock pyproject.toml
# What audit.sh needs, and nothing else.
lock requirements-audit.lock --group pyproject.toml:audit ${UPGRADE:-}
