# syntax=docker/dockerfile:1
# docker build -t personal-agent:0.1.0 .
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/agent
COPY requirements.lock requirements-build.lock ./
RUN /opt/agent/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY domain domain
COPY handlers handlers
COPY policies policies
COPY storage storage
# The wheel is built with a locked setuptools in a venv of its own, which stays in this stage, as pip does.
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-build.lock \
 && /opt/build/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/agent/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /wheels/*.whl \
 && /opt/agent/bin/pip uninstall --yes --quiet pip

FROM python:3.13-slim
COPY --from=build /opt/agent /opt/agent
RUN rm -rf /usr/local/lib/python3.13/site-packages/pip* /usr/local/lib/python3.13/ensurepip /usr/local/bin/pip* \
 && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin agent \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
ENV PATH=/opt/agent/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AGENT_DATABASE=/data/personal-agent.db \
    AGENT_HOST=0.0.0.0
# AGENT_HOST is not loopback here, so the service asks for AGENT_ALERT_TOKEN before it starts.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ.get('AGENT_PORT', '8080') + '/healthz', timeout=4)"]
ENTRYPOINT ["personal-agent"]
CMD ["serve"]
