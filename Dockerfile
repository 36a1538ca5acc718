# The app in a container, without CUDA by default:
#   docker build -t imitation-lab .
#   docker run --rm -p 127.0.0.1:7860:7860 -v lab-data:/home/user/data imitation-lab
# With CUDA, for fine-tuning on a GPU (run it with --gpus all):
#   docker build -t imitation-lab:gpu --build-arg TORCH_INDEX_URL= .

ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE}

# Where torch comes from; empty is PyPI's default build, which brings CUDA.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
# 0 leaves the pocket models' weights out of the image; they are fetched at the first start.
ARG WEIGHTS=1

# libgomp1: llama.cpp; bubblewrap: the sandbox, where the container may make namespaces; tini: passes signals on and reaps ended jobs, as PID 1 must.
# Versions are the base image's release; pinning them breaks the build at each point release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap libgomp1 tini \
    && rm -rf /var/lib/apt/lists/*

# Uid 1000 is what Hugging Face Spaces runs as.
RUN useradd --create-home --uid 1000 user
WORKDIR /home/user/app

COPY requirements.txt ./
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
        pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX_URL" \
            "$(grep -o '^torch==[0-9.]*' requirements.txt)"; \
    fi \
    && pip install --no-cache-dir -r requirements.txt

COPY --chown=1000:1000 . ./
USER 1000

ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    IMITATION_CACHE=/home/user/cache \
    IMITATION_DATA=/home/user/data \
    PYTHONUNBUFFERED=1

# The data folder is made here so that a volume mounted over it belongs to the user.
RUN mkdir -p "$IMITATION_DATA" \
    && if [ "$WEIGHTS" = 1 ]; then python -m imitation.models.embedded.weights --all; fi

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'], timeout=8)"]

ENTRYPOINT ["tini", "--"]
CMD ["python", "app.py"]
