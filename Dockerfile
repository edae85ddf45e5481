# flexi_score on a CPU, with detector, recogniser and judge:
#   docker build -t flexi_score .
#   docker run --rm -v "$PWD:/data" flexi_score score calls/
FROM python:3.11-slim
COPY pyproject.toml constraints.txt README.md LICENSE /opt/flexi_score/
COPY flexi_score /opt/flexi_score/flexi_score
COPY models /opt/flexi_score/models
# PyTorch's own index holds its build without CUDA, which is much smaller.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
        -c /opt/flexi_score/constraints.txt '/opt/flexi_score[audio,judge]' \
    && useradd --create-home scorer
USER scorer
WORKDIR /data
ENTRYPOINT ["flexi-score"]
