# The command line in a container: docker build -t safepursuit . && docker run -v "$PWD/runs:/work/runs" safepursuit …
FROM python:3.12-slim AS build

WORKDIR /source
RUN python -m venv /opt/safepursuit
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN /opt/safepursuit/bin/pip install --no-cache-dir --constraint constraints.txt '.[export,report]'

FROM python:3.12-slim

COPY --from=build /opt/safepursuit /opt/safepursuit
RUN useradd --create-home pursuer && mkdir -p /work/runs && chown -R pursuer /work
USER pursuer
WORKDIR /work
ENV PATH="/opt/safepursuit/bin:$PATH" MPLBACKEND=Agg
ENTRYPOINT ["safepursuit"]
CMD ["--help"]
