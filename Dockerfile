# Gavel: one image for every role. `docker run gavel run --role judge`, `docker run gavel api`, …
# `make pin-images` pins the base images by digest. `make sbom` lists the packages of the image.
# tests/integration/test_image.py takes the steps of this file one by one, in an empty folder.
# hadolint global ignore=DL3059
# (one step, one RUN: layers of the first stage are not shipped)

FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
# One environment that builds and stays here, one without pip that is shipped.
RUN python -m venv /opt/build && python -m venv --without-pip /opt/gavel
COPY locks/build.txt locks/runtime.txt locks/
RUN /opt/build/bin/python -m pip install --no-cache-dir --require-hashes -r locks/build.txt
RUN /opt/build/bin/python -m pip --python /opt/gavel/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r locks/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY conditions conditions
COPY evaluators evaluators
COPY config config
COPY quality quality
COPY storage storage
COPY processor processor
COPY ingest ingest
COPY reports reports
COPY api api
COPY console console
COPY cli cli
COPY examples examples
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist .
RUN /opt/build/bin/python -m pip --python /opt/gavel/bin/python install --no-cache-dir --no-deps --no-index --find-links /dist gavel
RUN /opt/gavel/bin/python -m compileall -q /opt/gavel/lib

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/gavel /opt/gavel
RUN install -d -o 10001 -g 10001 /var/lib/gavel
# In a container the listeners must be reachable from outside of it.
ENV PATH=/opt/gavel/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GAVEL_DATA_DIR=/var/lib/gavel \
    GAVEL_HTTP__HOST=0.0.0.0 \
    GAVEL_API__HOST=0.0.0.0 \
    GAVEL_INGEST__HOST=0.0.0.0
WORKDIR /var/lib/gavel
USER 10001:10001
EXPOSE 9464 8000 4318
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-m", "cli.probe"]
# The exec form: SIGTERM reaches gavel itself, which drains.
ENTRYPOINT ["gavel"]
CMD ["run"]
