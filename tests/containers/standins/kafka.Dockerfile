# In place of apache/kafka: the same release's jars from Maven, started by the wrapper that is in them.
FROM standin/debian:bookworm
RUN apt-get update && apt-get install openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --create-home appuser
COPY jars /opt/kafka/libs
COPY kafka-run kafka-tool /etc/kafka/docker/
COPY log4j2.yaml tools-log4j2.yaml /etc/kafka/docker/
RUN touch /etc/kafka/docker/server.properties \
    && mkdir -p /opt/kafka/bin /opt/kafka/config /opt/kafka/logs /var/lib/kafka/data /etc/kafka/secrets /mnt/shared/config \
    && for tool in cluster acls configs topics; do ln -s /etc/kafka/docker/kafka-tool "/opt/kafka/bin/kafka-$tool.sh"; done \
    && chown -R appuser:root /opt/kafka /var/lib/kafka /etc/kafka /mnt/shared/config \
    && chmod -R ug+w /opt/kafka /var/lib/kafka /etc/kafka
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
USER appuser
CMD ["/etc/kafka/docker/kafka-run"]
