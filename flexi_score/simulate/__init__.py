"""Simulated recordings with exact truth, and the user channels of the benchmark's scenarios.

Conventions
-----------
Clips of single voices are trimmed to their exact speech (:mod:`.clips`) and placed by a plan
(:mod:`.scene`); a condition (:mod:`.channel`) then makes them awkward; the truth follows.
Everything random comes from a seed: the same seed gives the same bytes. Nothing here is used in
scoring.

    clips = read_clips("clips")
    scenes = random_scenes(100, clips, seed=1)
    write_scenes(scenes, clips, "out/babble", "babble:15+crosstalk:-20", seed=1)
"""

from flexi_score.simulate.channel import (
    CLEAN,
    TERMS,
    Capture,
    Channel,
    Condition,
    apply_condition,
    make_condition,
    parse_condition,
)
from flexi_score.simulate.clips import Clip, Clips, make_clip, measure_speech, read_clips
from flexi_score.simulate.plan import read_plan
from flexi_score.simulate.scenarios import random_scenes
from flexi_score.simulate.scene import Facts, Mix, Say, Scene, mix_scene
from flexi_score.simulate.write import simulate, write_scenes
from flexi_score.verbs import make_callable

__all__ = [
    "CLEAN",
    "TERMS",
    "Capture",
    "Channel",
    "Clip",
    "Clips",
    "Condition",
    "Facts",
    "Mix",
    "Say",
    "Scene",
    "apply_condition",
    "make_clip",
    "make_condition",
    "measure_speech",
    "mix_scene",
    "parse_condition",
    "random_scenes",
    "read_clips",
    "read_plan",
    "simulate",
    "write_scenes",
]

make_callable(__name__, simulate)
