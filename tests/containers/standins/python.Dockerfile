# In place of the official Python image: Debian, and a Python that python.sh has packed.
FROM standin/debian:bookworm
RUN apt-get update && apt-get install \
        libbz2-1.0 libffi8 liblzma5 libncursesw6 libreadline8 libsqlite3-0 libssl3 libuuid1 netbase tzdata zlib1g \
    && rm -rf /var/lib/apt/lists/*
ADD python.tar /usr/local
ARG VERSION
# The programs' first lines name the folder that Python came from.
RUN ldconfig \
    && for name in python python3; do ln -sf "python$VERSION" "/usr/local/bin/$name"; done \
    && python -m ensurepip --default-pip \
    && pip --version
CMD ["python3"]
