# Images of the service; the command of each is its role.
#   docker build --target api -t synthorax-api .          the API, also on a card (torch brings CUDA)
#   docker build --target worker -t synthorax-worker .    training and light workers
#   docker build --target api-cpu -t synthorax-api-cpu .  the API by ONNX Runtime: no torch, small
# torch from PyPI carries CUDA, so no CUDA base image is needed.  Without CUDA:
#   --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's CPU index> --build-arg TORCH=torch==2.13.0+cpu
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS venv
WORKDIR /srv/synthorax
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY constraints.txt ./

FROM venv AS venv-cpu
COPY pyproject.toml README.md LICENSE ./
COPY library/__init__.py library/
COPY synthorax synthorax
RUN pip install --no-cache-dir --constraint constraints.txt ".[api,otel,s3]"

FROM venv AS venv-torch
ARG PIP_EXTRA_INDEX_URL=
ARG TORCH=torch==2.13.0
# The largest layer, which changes least.
RUN PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL} pip install --no-cache-dir --constraint constraints.txt "${TORCH}"
COPY pyproject.toml README.md LICENSE ./
COPY library/__init__.py library/
COPY synthorax synthorax
RUN pip install --no-cache-dir --constraint constraints.txt ".[server,otel,s3]"

FROM ${PYTHON_IMAGE} AS runtime
WORKDIR /srv/synthorax
COPY library library
COPY training training
COPY features features
COPY evaluation evaluation
COPY studies studies
COPY worker worker
COPY app app
COPY synthorax synthorax
COPY models models
COPY docs/reports docs/reports
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/synthorax \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    SYNTHORAX_LOG=json \
    SYNTHORAX_HOST=0.0.0.0 \
    SYNTHORAX_PORT=8000 \
    SYNTHORAX_DATA_DIR=/data
RUN install -d -o 10001 -g 10001 -m 700 /data
USER 10001
VOLUME /data
STOPSIGNAL SIGTERM

FROM runtime AS worker
COPY --from=venv-torch /opt/venv /opt/venv
# A worker listens nowhere, unless its metrics are asked for.
ENV SYNTHORAX_HOST=127.0.0.1
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python3", "-m", "worker", "check"]
CMD ["python3", "-m", "worker", "training"]

FROM runtime AS api-cpu
COPY --from=venv-cpu /opt/venv /opt/venv
ENV SYNTHORAX_DEVICE=cpu
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
CMD ["python3", "-m", "app"]

FROM runtime AS api
COPY --from=venv-torch /opt/venv /opt/venv
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
CMD ["python3", "-m", "app"]
