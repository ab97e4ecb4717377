# docker build -t gradwire .                        torch for CPU, where pip finds such a build
# docker build -t gradwire --build-arg TORCH=cuda . torch with CUDA
#
# Which torch pip finds depends on the index. The plain Python index holds the CUDA build for Linux on x86-64: several
# gigabytes, which also runs on a CPU. The CPU build (version 2.13.0+cpu) comes from the index that PyTorch's install page
# names, or from a folder of wheels: give it as PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS with --build-arg. Without it, TORCH=cpu
# falls back to what the plain index gives, and says so.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS builder
ARG TORCH=cpu
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_CONSTRAINT=/build/constraints.txt \
    PIP_BUILD_CONSTRAINT=/build/constraints.txt
WORKDIR /build
COPY pyproject.toml constraints.txt ./
RUN python -m venv --without-pip /opt/gradwire \
    && pin=$(grep '^torch==' constraints.txt) \
    && install="pip --python /opt/gradwire/bin/python install" \
    && case $TORCH in \
         cpu) $install "$pin+cpu" || { echo "No $pin+cpu in the given indexes: taking the build they have." >&2; $install "$pin"; } ;; \
         cuda) $install "$pin" && /opt/gradwire/bin/python -c \
           'import sys, torch; torch.version.cuda or sys.exit("TORCH=cuda, but the given indexes put a CPU build first")' ;; \
         *) echo "TORCH is cpu or cuda, not $TORCH" >&2; exit 2 ;; \
       esac \
    && python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
       print(*project["dependencies"], *project["optional-dependencies"]["postgresql"], sep="\n")' > requirements.txt \
    && $install -r requirements.txt
COPY README.md LICENSE ./
COPY schemas schemas
COPY service service
RUN pip --python /opt/gradwire/bin/python install --no-deps .

FROM ${PYTHON_IMAGE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Gradwire" \
      org.opencontainers.image.description="Losses and their gradients over HTTP" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gradwire \
    && install --directory --mode=700 --owner=10001 --group=10001 /var/lib/gradwire
COPY --from=builder /opt/gradwire /opt/gradwire
ENV PATH=/opt/gradwire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRADWIRE_HOST=0.0.0.0 \
    XDG_STATE_HOME=/var/lib
# Evaluations, where no GRADWIRE_DATABASE_URL names another place.
VOLUME /var/lib/gradwire
USER 10001:10001
EXPOSE 8000
# docker stop waits 10 s by default, the server drains for up to 30: docker stop --time 45, or run --stop-timeout 45.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", "import http.client, os, ssl, sys; where = {'host': '127.0.0.1', 'port': int(os.environ.get('GRADWIRE_PORT', '8000')), 'timeout': 2}; c = http.client.HTTPSConnection(**where, context=ssl._create_unverified_context()) if os.environ.get('GRADWIRE_TLS_CERT_FILE') else http.client.HTTPConnection(**where); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["tini", "--", "gradwire"]
CMD ["serve"]
