# In place of the official Redis image: Debian's server, the same user and volume.
FROM standin/debian:bookworm
RUN groupadd --gid 999 redis && useradd --uid 999 --gid redis --home-dir /data redis \
    && apt-get update && apt-get install redis-server && rm -rf /var/lib/apt/lists/* \
    && install -d -o redis -g redis /data
VOLUME /data
WORKDIR /data
CMD ["redis-server"]
