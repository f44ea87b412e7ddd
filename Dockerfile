# One image for the API and the worker: the command decides.
#   docker build -t synthorax .
# torch from PyPI carries CUDA, so no CUDA base image is needed.  For a smaller image without CUDA:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's CPU index> --build-arg TORCH=torch==2.13.0+cpu .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_EXTRA_INDEX_URL=
ARG TORCH=torch==2.13.0
WORKDIR /srv/synthorax
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY constraints.txt ./
# The largest layer, which changes least.
RUN PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL} pip install --no-cache-dir --constraint constraints.txt "${TORCH}"
COPY pyproject.toml README.md LICENSE ./
COPY library/__init__.py library/
COPY synthorax synthorax
RUN pip install --no-cache-dir --constraint constraints.txt ".[server]"

FROM ${PYTHON_IMAGE}
WORKDIR /srv/synthorax
COPY --from=build /opt/venv /opt/venv
COPY library library
COPY training training
COPY features features
COPY evaluation evaluation
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
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    SYNTHORAX_HOST=0.0.0.0 \
    SYNTHORAX_PORT=8000 \
    SYNTHORAX_DATA_DIR=/data
RUN install -d -o 10001 -g 10001 -m 700 /data
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
CMD ["python3", "-m", "app"]
