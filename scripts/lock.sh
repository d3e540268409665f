#!/bin/sh
# Resolves pyproject.toml again and writes the lock files; `make lock UPGRADE=--upgrade` takes newer versions.
set -eu
cd "$(dirname "$0")/.."
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"  # as in setup.sh

lock() {
  file=$1
  shift
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command "make lock" --output-file "$file" "$@" pyproject.toml
  # The marker that tfx has, and nearly every line with it, says only "a platform we support".
  # Setup refuses the others with a sentence, so here it is noise.
  marker=$(sed -n 's/^tfx==[^;]* ; \(.*\) \\$/\1/p' "$file")
  awk -v marker=" ; $marker \\\\" '{ at = index($0, marker); print at ? substr($0, 1, at - 1) " \\" : $0 }' \
    "$file" >"$file.new"
  mv "$file.new" "$file"
}

lock requirements.lock --extra kubeflow --extra dev ${UPGRADE:-}
# The same packages and versions, and NVIDIA's libraries besides.
lock requirements-gpu.lock --extra kubeflow --extra dev --extra gpu --constraints requirements.lock
# The same versions, without the tools for development.
lock requirements-container.lock --extra kubeflow --constraints requirements.lock
