"""Naturalness: a network with random numbers in place of weights, and rules written as loops.

No package brings trained weights. The tiny network has the published one's layers and names; its
numbers mean nothing, so what is tested is the arithmetic, never whether a dialogue is natural.
"""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile as sf
import torch
from conftest import Cli
from factories import make_run, recording_rows
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flexi_score.errors import PrerequisiteError
from flexi_score.extraction.vap import FRAME, load_vap, next_speaker, probabilities
from flexi_score.schema import EVENTS
from flexi_score.scoring.naturalness import boundaries, naturalness
from flexi_score.scoring.run import Run

DIM, HEADS = 8, 2
BINS = [(0, 200), (200, 600), (600, 1200), (1200, 2000)]


class Attention(nn.Module):
    """One frame at a time: scores over the frames so far, plus slope times their number."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("key", "query", "value", "proj"):
            setattr(self, name, nn.Linear(DIM, DIM, bias=False))
        self.m = nn.Parameter(torch.tensor([2.0**-4, 2.0**-8]))

    def forward(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        rows = []
        for i in range(len(x)):
            parts = []
            for h in range(HEADS):
                part = slice(h * DIM // HEADS, (h + 1) * DIM // HEADS)
                keys, values = (f(source[: i + 1])[:, part] for f in (self.key, self.value))
                score = keys @ self.query(x[i])[part] / math.sqrt(DIM)
                score = score - self.m[h] * torch.arange(i, -1, -1)  # the distance
                parts.append(torch.softmax(score, 0) @ values)
            rows.append(self.proj(torch.cat(parts)))
        return torch.stack(rows)


class Layer(nn.Module):
    def __init__(self, cross: bool) -> None:
        super().__init__()
        self.ln_self_attn, self.ln_ffnetwork = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.mha = Attention()
        self.ffnetwork = nn.Sequential(
            nn.Linear(DIM, 3 * DIM, bias=False),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(3 * DIM, DIM, bias=False),
        )
        if cross:
            self.ln_src_attn, self.mha_cross = nn.LayerNorm(DIM), Attention()

    def forward(self, x: torch.Tensor, source: torch.Tensor | None = None) -> torch.Tensor:
        z = self.ln_self_attn(x)
        x = x + self.mha(z, z)
        if source is not None:
            x = x + self.mha_cross(self.ln_src_attn(x), source)
        return x + self.ffnetwork(self.ln_ffnetwork(x))


def holder(**parts: nn.Module) -> nn.Module:
    made = nn.Module()
    for name, part in parts.items():
        made.add_module(name, part)
    return made


class Network(nn.Module):
    """The stereo network by its paper and its published names, small."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(1, 10, 5, 3), (DIM, 8, 4, 2), *[(DIM, 4, 2, 1)] * 3]
        self.convolutions = {
            f"conv{i}": nn.Conv1d(size, DIM, k, stride, pad)
            for i, (size, k, stride, pad) in enumerate(shapes)
        }
        norms = {f"batchNorm{i}": nn.Module() for i in range(5)}
        for norm in norms.values():
            norm.weight = nn.Parameter(torch.rand(1, DIM, 1) + 0.5)
            norm.bias = nn.Parameter(torch.randn(1, DIM, 1) / 5)
        self.norms = list(norms.values())
        self.lstm = nn.LSTM(DIM, DIM, batch_first=True)
        down = nn.Sequential(
            nn.Identity(), nn.Conv1d(DIM, DIM, 5, 2), holder(ln=nn.LayerNorm(DIM)), nn.GELU()
        )
        coder = holder(gEncoder=holder(**self.convolutions, **norms), gAR=holder(baseNet=self.lstm))
        self.encoder = holder(encoder=coder, downsample=down)
        self.ar_channel = holder(layers=nn.ModuleList([Layer(False)]))
        joint = holder(
            h0_a=nn.Linear(DIM, DIM, bias=False),
            h0_b=nn.Linear(DIM, DIM, bias=False),
            ln=nn.LayerNorm(DIM),
        )
        self.ar = holder(layers=nn.ModuleList([Layer(True), Layer(True)]), combinator=joint)
        self.va_classifier, self.vap_head = nn.Linear(DIM, 1), nn.Linear(DIM, 256)

    def encode(self, samples: torch.Tensor) -> torch.Tensor:
        x = samples[None, None]
        for convolution, norm in zip(self.convolutions.values(), self.norms, strict=True):
            x = convolution(x)
            spread = (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, keepdim=True) + 1e-5)
            x = torch.relu(spread * norm.weight + norm.bias)
        x, _ = self.lstm(x.transpose(1, 2))
        down = self.encoder.downsample
        x = down[1](nn.functional.pad(x.transpose(1, 2), (4, 0)))[0].T
        return down[3](down[2].ln(x))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        a, b = (self.ar_channel.layers[0](self.encode(side)) for side in samples)
        for layer in self.ar.layers:
            a, b = layer(a, b), layer(b, a)
        joint = self.ar.combinator
        sides = (joint.h0_a(a), joint.h0_b(b))
        x = sum(nn.functional.gelu(joint.ln(side)) for side in sides)
        return torch.softmax(self.vap_head(x).double(), 1)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    made = Network().eval()
    for name, value in made.named_parameters():
        if not name.endswith(".m"):
            value.data += torch.randn_like(value) / 3
    return made


@pytest.fixture(scope="module")
def weights(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vap") / "random.pt"
    torch.save(network.state_dict(), path)
    return path


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (2, int(seconds * 16000))).astype(np.float32)


def test_the_network_is_that_of_the_paper(network: Network, weights: Path) -> None:
    samples = noise(0.6)
    found = probabilities(load_vap(weights), samples)
    with torch.no_grad():
        expected = network(torch.from_numpy(samples)).numpy()
    assert found.shape == (30, 256)
    np.testing.assert_allclose(np.log(found), np.log(expected), atol=1e-4)
    assert np.ptp(np.log(expected)) > 1
    np.testing.assert_allclose(found.sum(1), 1)


def test_a_frame_hears_nothing_later(weights: Path) -> None:
    vap, samples = load_vap(weights), noise(0.6)
    later = samples.copy()
    later[:, 20 * FRAME :] = 0
    before, after = probabilities(vap, samples), probabilities(vap, later)
    np.testing.assert_allclose(before[:20], after[:20], rtol=1e-5)
    assert np.abs(before[20] - after[20]).max() > 1e-6


def test_the_next_speaker_by_hand() -> None:
    # User active in bins 0 and 3, model in bin 1: states 1 + 8 and 32; the second has 3/4.
    states = np.zeros((1, 256))
    states[0, 9 + 32], states[0, 32] = 0.25, 0.75
    assert next_speaker(states, 0, 1)[0] == pytest.approx(1 / (1 + 0.25))
    assert next_speaker(states, 2, 3)[0] == 0
    drawn = np.random.default_rng(1).dirichlet(np.ones(256), 3)
    for first, last in ((0, 1), (2, 3)):
        for row, share in zip(drawn, next_speaker(drawn, first, last), strict=True):
            sums = [
                sum(p * (s >> (4 * c + b) & 1) for s, p in enumerate(row) for b in (first, last))
                for c in (0, 1)
            ]
            assert share == pytest.approx(sums[1] / sum(sums))


def a_run(spans: list[tuple[str, str, int, int]], duration_ms: int, **row: object) -> Run:
    """A run of one recording with these events: kind, speaker, start, end."""
    events = [
        dict.fromkeys(EVENTS.names())
        | {"recording": "r0", "kind": k, "speaker": s, "start_ms": a, "end_ms": b}
        for k, s, a, b in spans
    ]
    recordings = recording_rows([row]).with_columns(duration_ms=pl.lit(duration_ms, pl.Int64))
    return make_run(events=pl.DataFrame(events, schema=EVENTS), recordings=recordings)


def test_what_followed_by_hand() -> None:
    # After 1000: the user until 1099 (less than half of the first bin), again in 2.0-2.3 s (half of
    # 1600-2200 is 300: 200 is less; 100 of 2200-3000 is less). The model speaks 1.4-3.0 s: half of
    # 1200-1600, all of the next two: bits 5, 6, 7.
    ipus = [("user", 0, 1099), ("user", 2000, 2300), ("model", 1400, 3000)]
    turns = [("turn", "user", 0, 1000), ("turn", "model", 1400, 3000)]
    run = a_run([*turns, *[("ipu", *span) for span in ipus]], 3200)
    assert boundaries(run).select("boundary", "at_ms", "state").rows() == [
        ("user_turn_end", 1000, 32 + 64 + 128),
        ("model_turn_start", 1400, None),
    ]


spoken = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5)


@given(spoken, spoken, st.integers(0, 40))
def test_what_followed_counts_cells(user: list, model: list, at: int) -> None:
    step, duration = 50, 3500
    tracks = {
        s: [(a * step, min((a + n) * step, duration)) for a, n in spans if a * step < duration]
        for s, spans in (("user", user), ("model", model))
    }
    spans = [("ipu", s, a, b) for s, some in tracks.items() for a, b in some]
    run = a_run([*spans, ("turn", "user", 0, max(at * step, 1))], duration)
    (state,) = boundaries(run)["state"]
    moment = max(at * step, 1)
    if moment + 2000 > duration:
        assert state is None
        return
    bits = 0
    for c, some in enumerate(tracks.values()):
        cells = np.zeros(duration, bool)
        for a, b in some:
            cells[a:b] = True
        for b, (start, end) in enumerate(BINS):
            bits += (cells[moment + start : moment + end].mean() >= 0.5) << (4 * c + b)
    assert state == bits


def test_likelihoods_of_a_long_recording(weights: Path, tmp_path: Path) -> None:
    # The user's file starts 100 ms late. Moments: nothing heard, the first window, the second one.
    user, model = noise(23, 1)
    for name, samples in (("user", user), ("model", model)):
        sf.write(tmp_path / f"{name}.wav", samples, 16000, subtype="FLOAT")
    files = {f"{s}_audio": str(tmp_path / f"{s}.wav") for s in ("user", "model")}
    at = [0, 7013, 21_333]
    spans = [("turn", "model", start, start + 500) for start in at]
    spans += [(kind.replace("turn", "ipu"), *rest) for kind, *rest in spans]
    vap = load_vap(weights)
    run = a_run(spans, 23_400, **files, user_offset_ms=100)
    table, problems = naturalness(run, vap)
    assert not problems
    assert table["at_ms"].to_list() == at
    assert table.row(0)[-3:] == (None, None, None)
    both = np.stack([np.concatenate([np.zeros(1600), user]), np.append(model, np.zeros(1600))])
    for row, first in zip(table.tail(2).iter_rows(named=True), (0, 10_000), strict=True):
        end = round(row["at_ms"] / 20) * 320
        expected = probabilities(vap, both[:, first * 16 : end])[-1]
        assert row["state"] == 16 + 32  # 200 ms, and 300 of 400
        assert row["log_likelihood"] == pytest.approx(math.log(expected[row["state"]]), abs=1e-4)


def test_the_command_writes_a_table(weights: Path, tmp_path: Path, cli: Cli) -> None:
    sf.write(tmp_path / "a.wav", noise(4).T, 16000)
    audio = {"audio": str(tmp_path / "a.wav"), "user_channel": 0, "model_channel": 1}
    spans = [("turn", "user", 0, 1000), ("ipu", "user", 0, 1000)]
    a_run(spans, 4000, **audio).write(tmp_path / "run")
    done = cli("naturalness", tmp_path / "run", "--weights", weights, "--out", tmp_path / "n.csv")
    assert done.returncode == 0, done.stderr
    assert "not the published VAP" in done.stdout
    (row,) = pl.read_csv(tmp_path / "n.csv").to_dicts()
    assert (row["boundary"], row["at_ms"], row["state"]) == ("user_turn_end", 1000, 0)
    assert row["log_likelihood"] < 0
    (tmp_path / "a.wav").unlink()
    table, problems = naturalness(Run.open(tmp_path / "run"), load_vap(weights))
    assert not len(table)
    assert len(problems) == 1
    assert "a.wav" in problems[0]


class Unsafe:
    def __reduce__(self) -> tuple:
        return print, ("run",)


def test_other_files_are_refused(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = network.state_dict()
    missing = {key: value for key, value in state.items() if key != "vap_head.bias"}
    mono = state | {"vap_head.weight": torch.zeros(16, DIM), "vap_head.bias": torch.zeros(16)}
    narrow = state | {"vap_head.weight": torch.zeros(256, DIM - 1)}
    cases = {
        "no tensor 'vap_head.bias'": missing,
        "knows 16 states": mono,
        "do not fit": narrow,
        "has no tensor": [1, 2],
        "cannot be read": {"vap_head.bias": Unsafe()},
    }
    for message, content in cases.items():
        torch.save(content, tmp_path / "file.pt")
        with pytest.raises(PrerequisiteError, match=message):
            load_vap(tmp_path / "file.pt")
    with pytest.raises(PrerequisiteError, match=r"none\.pt: cannot be read"):
        load_vap(tmp_path / "none.pt")
    assert "run" not in capsys.readouterr().out
