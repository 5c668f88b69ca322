# syntax=docker/dockerfile:1
# The REST front: no torch, no ray. Build it from the repository's root:
#   docker build -f deploy/images/api.Dockerfile -t lth-api:0.1.0 .
# PYTHON_IMAGE takes a digest as well: --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python -m venv /opt/lth
COPY constraints.txt pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY lth_core lth_core
COPY service service
COPY workers workers
# The native kernels are optional and belong to the worker: without a compiler they are left out.
RUN /opt/lth/bin/pip install --constraint constraints.txt . \
    && /opt/lth/bin/pip uninstall --yes setuptools pip \
    && /opt/lth/bin/python -m compileall -q /opt/lth

FROM ${PYTHON_IMAGE} AS api
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lottery-ticket-search api" \
      org.opencontainers.image.description="REST front of the lottery-ticket search service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 lth \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /var/lib/lth lth \
    && install -d -o lth -g lth -m 0700 /var/lib/lth
COPY --from=build /opt/lth /opt/lth
ENV PATH=/opt/lth/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/lth \
    LTH_HOME=/var/lib/lth \
    LTH_LISTEN=0.0.0.0:8420
WORKDIR /var/lib/lth
# The only places that are written to: the rest may be mounted read-only.
VOLUME ["/var/lib/lth", "/tmp"]
EXPOSE 8420
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8420/healthz', timeout=2)"]
CMD ["python", "-m", "service.api.server"]
