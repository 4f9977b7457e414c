# In place of Astro Runtime (-base): Airflow of our lock in a build of its own, installed system-wide, with uv and tini.
FROM standin/python
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update && apt-get install tini && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --gid 0 --home-dir /usr/local/airflow --create-home astro
ARG UV_VERSION
RUN pip install --no-cache-dir "uv==$UV_VERSION"
COPY airflow.txt /tmp/
RUN uv pip install --system --no-cache --constraint /tmp/airflow.txt apache-airflow
# The runtime's Airflow has a local version; whether our lock accepts that is part of what is tried.
COPY local_version.py /tmp/
RUN python /tmp/local_version.py apache-airflow +astro.1
COPY install-system-packages /usr/local/bin/
ENV AIRFLOW_HOME=/usr/local/airflow
WORKDIR /usr/local/airflow
USER astro
ENTRYPOINT ["tini", "--"]
