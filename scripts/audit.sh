#!/bin/sh
# Asks an advisory service for known vulnerabilities of all locked packages; ends with 1 if there is one without a reason
# in scripts/audit-exceptions.txt. Needs the network, so that `make test` does not run it.
#   AUDIT_SERVICE=osv            osv.dev, in place of PyPI's own advisories, which most mirrors do not have
#   AUDIT_OSV_URL=https://…      a mirror of that service, as AUDIT_SERVICE=osv asks it
#   LOCKS="requirements.lock"    other lock files
set -eu
cd "$(dirname "$0")/.."
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"  # as in setup.sh
# requirements-gpu.lock holds everything that the other two hold.
locks=${LOCKS:-requirements-gpu.lock requirements-audit.lock}

.venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .venv-audit
.venv/bin/uv pip sync --quiet --python .venv-audit/bin/python --require-hashes requirements-audit.lock
ignored=$(sed -n 's/^\([A-Z][A-Z]*-[^ ]*\) .*/--ignore-vuln \1/p' scripts/audit-exceptions.txt)
status=0
for lock in $locks; do
  echo "audit: $lock"
  # shellcheck disable=SC2086  several words
  .venv-audit/bin/pip-audit --requirement "$lock" --require-hashes --disable-pip --strict --progress-spinner off \
    --vulnerability-service "${AUDIT_SERVICE:-pypi}" --osv-url "${AUDIT_OSV_URL:-https://api.osv.dev/v1/query}" $ignored || status=1
done
exit $status
