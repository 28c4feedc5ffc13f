# Headrace's own image: the gateway, the external scaler, the puller of weights, engine twins. Engines
# have images of their own. `docker build -t headrace:0.1.0 .`
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY src ./src
# Only what Headrace itself needs, in the versions that its tests run with.
RUN python -m venv /opt/headrace \
 && /opt/headrace/bin/pip install --no-cache-dir --constraint requirements.lock .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/headrace /opt/headrace
# The root is read-only in the cluster, so nothing is compiled there; logs must not wait in a buffer.
ENV PATH=/opt/headrace/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN /opt/headrace/bin/python -m compileall -q /opt/headrace
# A number, so that a cluster can tell that it is not root; `render` says the same.
USER 10001:10001
ENTRYPOINT ["headrace"]
