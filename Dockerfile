# The service and its worker; `python manage.py …` does the rest. compose.yaml shows it in use.
FROM python:3.11-slim-trixie AS packages
WORKDIR /app
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt

# A pooler for compose.yaml, which brings its settings.
FROM debian:trixie-slim AS pooler
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends pgbouncer && rm -rf /var/lib/apt/lists/*
USER 65534
CMD ["pgbouncer", "/etc/pgbouncer/pgbouncer.ini"]

# PostgreSQL with Patroni and pgBackRest for compose.cluster.yaml, which brings their settings.
FROM python:3.11-slim-trixie AS database
COPY docs/cluster/requirements.txt /patroni/
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-17 pgbackrest \
  && rm -rf /var/lib/apt/lists/* \
  && python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /patroni/requirements.txt
ENV PATH=/venv/bin:/usr/lib/postgresql/17/bin:$PATH
# Debian gives the user's number.
# hadolint ignore=DL3066
USER postgres
CMD ["patroni", "/etc/patroni/patroni.yml"]

FROM python:3.11-slim-trixie AS service
RUN useradd --system --uid 10001 qyvo && install -d -o qyvo -m 700 /data
COPY --from=packages /venv /venv
WORKDIR /app
COPY manage.py .
COPY qyvo qyvo
COPY contacts contacts
COPY tenants tenants
COPY templates templates
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DATA_DIR=/data
RUN python -m qyvo.catalogues
USER 10001
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "qyvo.serve", "--host", "0.0.0.0", "--port", "8000"]
