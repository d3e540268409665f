# For CPUs: docker build --tag imagegate .
# For NVIDIA GPUs: docker build --tag imagegate:gpu --build-arg GPU=1 .
# docs/container.md explains how to run the image and how it was tested.

# Debian 13, because ml-metadata and tensorflow-data-validation need glibc 2.39 or newer. The tag follows the security
# updates of Python and Debian. For a reproducible base image, pass its digest, which
# `docker buildx imagetools inspect` prints: --build-arg BASE=python:3.11-slim-trixie@sha256:...
ARG BASE=python:3.11-slim-trixie

FROM ${BASE} AS build
# Files in the image never change, so bytecode is not checked against its source, whose modification times may be lost.
# UV_SYSTEM_CERTS: company proxies use their own certificates, which a company's BASE image contains.
ENV PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON=/opt/venv/bin/python \
    UV_SYSTEM_CERTS=true
WORKDIR /build
COPY requirements.lock requirements-container.lock requirements-gpu.lock ./
RUN sed -n '/^uv==/,/^    # via/p' requirements.lock > uv.lock \
    && pip install --no-cache-dir --no-deps --require-hashes --requirement uv.lock

# tensorflow[and-cuda] consists of tensorflow and NVIDIA's libraries.
ARG GPU=0
RUN case "$GPU" in \
      0) : > nvidia.lock ;; \
      1) sed -n '/^nvidia-/,/^    # via/p' requirements-gpu.lock > nvidia.lock ;; \
      *) echo "GPU is 0 or 1, not '$GPU'" >&2; exit 1 ;; \
    esac \
    && python -m venv --without-pip /opt/venv \
    && uv pip sync --require-hashes --build-constraints requirements.lock --compile-bytecode \
       requirements-container.lock nvidia.lock \
    # 0.4 GB of headers, needed only to compile C++ code against TensorFlow.
    && rm -r /opt/venv/lib/python3.11/site-packages/tensorflow/include

COPY pyproject.toml README.md LICENSE ./
COPY components components
COPY pipeline pipeline
COPY schemas schemas
RUN uv pip install --offline --no-deps --no-build-isolation --compile-bytecode .

# Lists the packages in /opt/venv, with a tool that is installed elsewhere and left out of the image; then Python, and
# Debian's packages, which are those of the base image in both stages.
COPY scripts/system_packages.py ./
RUN python -m venv --without-pip /opt/sbom \
    && uv pip install --python /opt/sbom/bin/python --require-hashes --constraints requirements.lock \
       "$(grep -o '^cyclonedx-bom==[^ ;]*' requirements.lock)" \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
       --output-file sbom.cdx.json /opt/venv/bin/python \
    && python system_packages.py sbom.cdx.json

FROM ${BASE}
# /work is for users. Kubeflow's launcher puts artifacts into the other folders: newer backends mount volumes there, older
# ones write into the container. All are writable by everyone, like /tmp, because a cluster may choose another user.
RUN pip uninstall --yes --root-user-action ignore pip setuptools wheel \
    && rm -r /usr/local/lib/python3.11/ensurepip \
    && python -m compileall -q --invalidation-mode unchecked-hash /usr/local/lib/python3.11 \
    && groupadd --gid 10001 imagegate \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin imagegate \
    && install --directory --owner 10001 --group 10001 --mode 1777 /work /gcs /minio /s3
COPY --from=build /build/sbom.cdx.json /usr/share/doc/imagegate/
COPY --from=build /opt/venv /opt/venv

# Libraries keep their settings and caches below HOME, and only /tmp is always writable.
# NVIDIA_DRIVER_CAPABILITIES is read by NVIDIA's container toolkit, and has no effect without a GPU.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="imagegate" \
      org.opencontainers.image.description="A TFX pipeline for image datasets that lets no bad data and no worse model through." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
WORKDIR /work
USER 10001:10001
ENTRYPOINT ["imagegate"]
CMD ["--help"]
