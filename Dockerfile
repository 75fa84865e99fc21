# docker build -t rgdiff .                          CPU wheels of torch
# docker build -t rgdiff --build-arg TORCH=cuda .   PyPI's CUDA wheels; run with --gpus all
# docker run -p 8501:8501 -v rgdiff:/home/rgdiff rgdiff
#   with -e RGDIFF_ALLOWED_HOSTS=NAME where it has a name: docs/deployment.md
FROM python:3.11-slim

ARG TORCH=cpu
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    PATH=/app/.venv/bin:$PATH
WORKDIR /app

COPY pyproject.toml uv.lock requirements.txt ./
RUN pip install --no-cache-dir \
    "uv==$(sed -n '/^name = "uv"$/{n;s/version = "\(.*\)"/\1/p;}' uv.lock)"
# Both variants install the locked versions; without CUDA, torch's own packages come from the
# index of its CPU wheels, and the CUDA libraries they would bring are pruned.
RUN case "$TORCH" in \
    cuda) uv sync --frozen --no-dev --extra app --no-install-project ;; \
    cpu) uv venv \
      && uv export --quiet --frozen --no-dev --extra app --no-hashes --no-emit-project \
        --prune torch --prune torchvision --output-file /tmp/rest.txt \
      && grep -E '^torch(vision)?==' requirements.txt > /tmp/torch.txt \
      && uv pip install --torch-backend cpu -r /tmp/torch.txt -r /tmp/rest.txt ;; \
    *) echo "TORCH is '$TORCH'; it can be cpu or cuda" && exit 1 ;; \
    esac

COPY . .
RUN uv pip install --no-deps . \
    && useradd --create-home --uid 1000 rgdiff \
    && mkdir runs \
    && chown rgdiff runs
USER rgdiff
VOLUME ["/home/rgdiff", "/app/runs"]

EXPOSE 8501
HEALTHCHECK --start-period=2m CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://localhost:8501/_stcore/health', timeout=5)"]
CMD ["sh", "-c", "rgdiff data fetch cifar10 || echo 'the app starts with other data'; \
    exec streamlit run app.py --server.address=0.0.0.0 --server.port=8501 --server.headless=true"]
