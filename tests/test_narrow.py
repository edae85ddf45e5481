"""A structure without other recordings' speech scores its own recordings as the whole one does."""

import numpy as np
from factories import random_dialogue, tracks_of
from polars.testing import assert_frame_equal

from flexi_score.config import load_settings
from flexi_score.metrics import paper, score_structure
from flexi_score.schema import SCENARIOS
from flexi_score.segment.narrow import narrow
from flexi_score.segment.structure import build_structure

SETTINGS = load_settings()


def made(seed: int, count: int = 60):
    rng = np.random.default_rng(seed)
    scenarios = rng.choice(SCENARIOS[:6], count)
    return build_structure(tracks_of([random_dialogue(rng, s) for s in scenarios]), SETTINGS)


def test_scores_are_those_of_the_whole_structure():
    for seed in range(5):
        structure = made(seed)
        scenario = structure.tracks.recordings["scenario"]
        scores = score_structure(structure, SETTINGS, {})
        for name, module in paper.MODULES.items():
            rec = np.flatnonzero((scenario == name).to_numpy())
            whole = module.score(structure, rec, SETTINGS, {})
            mine = scores.filter(scores["scenario"] == name)
            assert len(whole)
            assert_frame_equal(mine.select(whole.columns), whole)


def test_what_is_kept_is_what_these_recordings_say():
    structure = made(7)
    rec = np.flatnonzero(np.arange(len(structure)) % 3 == 1)
    found = narrow(structure, rec)
    for side, whole in ((found.user, structure.user), (found.model, structure.model)):
        own = np.isin(whole.ipus.rec, rec)
        assert side.ipus.start.tolist() == whole.ipus.start[own].tolist()
        assert side.role.tolist() == whole.role[own].tolist()
        assert set(side.groups.rec.tolist()) <= set(rec.tolist())
        # Every IPU lies in the group that it lay in.
        assert (side.groups.start[side.group] == whole.groups.start[whole.group[own]]).all()
    assert set(found.turns.spans.rec.tolist()) <= set(rec.tolist())
    assert len(found.turns.spans) == np.isin(structure.turns.spans.rec, rec).sum()


def test_all_recordings_are_the_structure_itself():
    structure = made(3, 4)
    assert narrow(structure, np.arange(4)) is structure
