# syntax=docker/dockerfile:1
# Dispatcher, drivers, Ray nodes and engines. Build it from the repository's root:
#   docker build -f deploy/images/worker.Dockerfile -t lth-worker:0.1.0 .
# CUDA comes with torch's own wheels; the machine brings only its driver (NVIDIA container runtime).
# Ray wants the same Python, to the patch level, on every node: dispatcher and Ray pods share this one image.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

# The compiler builds the native kernels here, and in the image what Triton's GPU kernels are launched with, at first use.
FROM ${PYTHON_IMAGE} AS compiler
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

FROM compiler AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python -m venv /opt/lth
# The heavy packages change with the pins and not with the sources, so they are a layer of their own.
COPY constraints.txt ./
RUN /opt/lth/bin/pip install --constraint constraints.txt torch torchvision "ray[tune]"
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY lth_core lth_core
COPY service service
COPY workers workers
RUN /opt/lth/bin/pip install --constraint constraints.txt ".[worker]" \
    && /opt/lth/bin/python -P -c "import lth_core.native._kernels"

FROM compiler AS worker
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="lottery-ticket-search worker" \
      org.opencontainers.image.description="Dispatcher and Ray nodes of the lottery-ticket search service" \
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
    RAY_USAGE_STATS_ENABLED=0 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HOME=/var/lib/lth \
    LTH_HOME=/var/lib/lth
WORKDIR /var/lib/lth
VOLUME ["/var/lib/lth", "/tmp"]
USER 10001:10001
# Healthy means that some dispatcher leads; a container that stands by beside the leader is healthy too.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, redis; assert redis.Redis.from_url(os.environ['LTH_REDIS_URL'], socket_timeout=3).exists('lth:lease')"]
CMD ["python", "-m", "workers.dispatcher"]
