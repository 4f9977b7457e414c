# Astro Runtime 3.3-8 holds Airflow 3.3.2. Its "-base" variant runs no ONBUILD steps: those are known to refuse a
# requirements.txt that names apache-airflow, and ours does, because it is the lock of every machine.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /usr/local/airflow
USER root

COPY packages.txt .
RUN /usr/local/bin/install-system-packages

# The image's own Airflow build (3.3.2+astro.n) stays: no hash can be known for it, so its lines are taken out of the
# lock. A lock that asks for another Airflow stops here. The lock is complete: nothing beyond it may come along.
COPY requirements.txt .
RUN awk '/^[^ #]/ {own = /^apache-airflow(-core|-task-sdk)?(\[[^]]*\])?==/} !own' requirements.txt > /tmp/others.txt \
    && diff <(grep -oE '^apache-airflow(-core|-task-sdk)?(\[[^]]*\])?==[0-9.]+' requirements.txt | sed 's/\[.*\]//' | sort) \
        <(uv pip freeze --system | grep -oE '^apache-airflow(-core|-task-sdk)?==[0-9.]+' | sort) \
    && uv pip install --system --no-cache --compile-bytecode --no-deps --require-hashes --requirement /tmp/others.txt \
    && rm /tmp/others.txt

# Mount points of the named volumes: a new volume takes over the owner and mode that it finds here.
RUN install -d -o astro -g 0 -m 0775 /var/lib/marketing /var/lib/marketing/warehouse /usr/local/airflow/logs \
    && install -d -o astro -g 0 -m 0700 /var/lib/airflow-auth

ENV PYTHONPATH=/usr/local/airflow \
    LOCAL_DIR=/var/lib/marketing \
    DUCKDB_PATH=/var/lib/marketing/warehouse/marketing_insights.duckdb \
    DBT_SEND_ANONYMOUS_USAGE_STATS=False \
    AIRFLOW__COSMOS__ENABLE_TELEMETRY=False \
    AIRFLOW__CORE__LOAD_EXAMPLES=False

# .dockerignore lets in the project's code only. It stays root's: what runs here cannot change what runs next.
COPY . .

# Cosmos reads the dbt manifest when Airflow parses the DAGs; making it needs no connection. An image holds no
# customers, so the seed of their segments is empty in it.
ARG WAREHOUSE=duckdb
LABEL warehouse=$WAREHOUSE
WORKDIR /usr/local/airflow/include/dbt
RUN python -m ml.seed
RUN python -m include.orchestration.dbt_manifest
WORKDIR /usr/local/airflow
# The folder is on PYTHONPATH, and the user astro is in root's group. Airflow would write its configuration file there;
# an empty one leaves all to the environment.
RUN touch airflow.cfg && chmod 0644 airflow.cfg && chmod 0755 . && chown root:0 . \
    && chmod -R go-w dags include ml plugins streaming_workers
USER astro
