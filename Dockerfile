# The consumer as an image: locked dependencies, compiled once, run by a user who owns nothing.
FROM python:3.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/countersign \
 && /opt/countersign/bin/python -m pip install --quiet --no-compile --require-hashes --only-binary :all: -r requirements.lock \
 && python -m venv tools \
 && tools/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY worker worker
# Hash-checked bytecode needs no timestamps, and none is ever written when it runs.
RUN tools/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
 && /opt/countersign/bin/python -m pip install --quiet --no-deps --no-compile wheels/*.whl \
 && /opt/countersign/bin/python -m pip uninstall --quiet --yes pip \
 && /opt/countersign/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/countersign/lib

FROM python:3.13-slim-bookworm

LABEL org.opencontainers.image.title="countersign" \
      org.opencontainers.image.description="Deployment events on RabbitMQ become emails" \
      org.opencontainers.image.licenses="Apache-2.0"

# /var/lib/countersign keeps the journal, /var/spool/countersign the logs being sent: volumes, the rest is read-only.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/countersign /var/spool/countersign
COPY --from=build /opt/countersign /opt/countersign

ENV PATH=/opt/countersign/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STATE_DIRECTORY=/var/lib/countersign \
    TMPDIR=/var/spool/countersign
VOLUME /var/lib/countersign /var/spool/countersign
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["countersign", "health"]
ENTRYPOINT ["countersign"]
CMD ["consume"]
