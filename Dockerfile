# plb-ray in one image: `docker run -p 8080:8080 -v plb:/var/lib/plb plb-ray` serves the embedded queue with the dashboard.
FROM python:3.11-slim-bookworm

WORKDIR /opt/plb-ray
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY plb_ray plb_ray
COPY models models
COPY optimizer optimizer
COPY service service
# The CPU build of torch: the default one brings several GB of CUDA that this image has no use for.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu --constraint constraints.txt . \
    && python -m optimizer.warm \
    && useradd --create-home --home-dir /var/lib/plb plb

USER plb
WORKDIR /var/lib/plb
COPY docs/plb.container.toml /etc/plb/plb.toml
EXPOSE 8080 7070
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=5)"]
ENTRYPOINT ["plb"]
CMD ["serve", "--config", "/etc/plb/plb.toml"]
