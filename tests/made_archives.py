"""Archives of random recordings, made without audio."""

from pathlib import Path

import numpy as np

from flexi_score.archive import store
from flexi_score.archive.tables import ARCHIVED, ENVELOPE_MS, FRAME_MS
from flexi_score.schema import SCENARIOS

DURATION_MS = 12_000


def make_archive(folder: Path, count: int = 42, seed: int = 0, first: int = 0) -> Path:
    """Recordings of two systems and all scenarios, of random probabilities and words.

    Numbered from ``first``. One more is lost: its channels are not in the archive.
    """
    store.open_archive(folder, create=True)
    rng = np.random.default_rng(seed)
    rows, channels, words = [], [], []
    for i in range(first, first + count):
        row = dict.fromkeys(ARCHIVED.names())
        row |= {
            "recording": f"r{i}",
            "system": "ab"[i // 7 % 2],
            "scenario": SCENARIOS[i % 7],
            "duration_ms": DURATION_MS,
            "rating": float(i % 6),
        }
        if i % 3 == 0:
            row["user_turn_end_ms"] = 6000
        for side in ("user", "model"):
            row[f"{side}_key"] = row[f"{side}_words_key"] = f"{side}{i}"
            cuts = np.sort(rng.choice(DURATION_MS // 40, 2 * rng.integers(2, 9), replace=False))
            spans = (cuts * 40).reshape(-1, 2)
            channels.append(_channel(f"{side}{i}", spans, rng))
            words.append(
                {
                    "key": f"{side}{i}",
                    "source": "asr",
                    "words": [
                        {"start_ms": int(a), "end_ms": int(b), "text": "word"} for a, b in spans
                    ],
                }
            )
        rows.append(row)
    lost = dict.fromkeys(ARCHIVED.names()) | {
        "recording": "lost",
        "system": "a",
        "scenario": "turn_taking",
        "duration_ms": DURATION_MS,
        "user_key": "gone",
        "model_key": "gone",
    }
    for table, data in (
        ("recordings", [*rows, lost]),
        ("channels", channels),
        ("frames", channels),
        ("words", words),
    ):
        store.append(folder, table, data)
    return folder


def _channel(key: str, spans: np.ndarray, rng: np.random.Generator) -> dict[str, object]:
    frames, steps = DURATION_MS // FRAME_MS, DURATION_MS // ENVELOPE_MS
    probability, level = rng.random(frames) * 0.4, rng.uniform(-75, -65, steps)
    for start, end in spans:
        inside = slice(start // FRAME_MS, end // FRAME_MS)
        probability[inside] = rng.uniform(0.4, 1.0, len(probability[inside]))
        level[start // ENVELOPE_MS : end // ENVELOPE_MS] = -25
    return {
        "key": key,
        "duration_ms": DURATION_MS,
        "dead": False,
        "detector": "made-up",
        "probabilities": (probability * 65535).astype(np.uint16).tolist(),
        "envelope_cdb": (level * 100).astype(np.int16).tolist(),
        "noise_dbfs": -70.0,
        "active_dbfs": -23.0,
        "peak_dbfs": -10.0,
        "gain_db": 0.0,
        "zero_share": 0.0,
        "clipped_share": 0.0,
        "sample_rate_hz": 16_000,
        "encoding": "PCM_16",
    }
