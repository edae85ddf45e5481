"""The scenes of the sample recordings, as data.

A scene is a list of clips, each with the moment at which it starts. A moment is a number of
seconds (``"0.7"``) or a point of another clip of the same scene with an optional offset:
``"q.end+0.7"`` is 0.7 s after clip ``q`` ends, ``"q.pause2"`` the start of the second silence
inside it. ``cut`` stops a clip at a moment, which is how a model yields.

User texts come from the text files of the FLEXI release (Apache-2.0). ``source`` is the number
of the dialog there; a few texts are shortened. The replies were written for these recordings.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Say:
    """One clip: who says what, from which moment, and where it is cut off, if it is.

    ``heard`` is what can be heard of the text where the clip is cut off.
    """

    who: str
    name: str
    text: str
    at: str
    cut: str = ""
    speed: float = 1.0
    gain_db: float = 0.0
    heard: str = ""

    @property
    def spoken(self) -> str:
        """The words that reach the recording."""
        return self.heard or self.text


@dataclass(frozen=True)
class Scene:
    """One recording: its clips, channel levels, ground-truth moments and metadata.

    Parameters
    ----------
    levels_db, noise_db
        Level of speech while active and of the noise floor, dBFS RMS, as (user, model).
    pause, interrupt, backchannels, references
        What the scenario turns on: the two clips around the pause, the interrupting clip, the
        user's backchannel clips, and the moments where a backchannel would be welcome.
    annotate
        The ``annotations`` that the manifest gives away; the rest is left to detection.
    """

    id: str
    source: int
    user_voice: str
    says: list[Say]
    happens: str
    levels_db: tuple[float, float] = (-26.0, -26.0)
    noise_db: tuple[float, float] = (-75.0, -77.0)
    pause: tuple[str, str] | None = None
    interrupt: str = ""
    backchannels: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    annotate: tuple[str, ...] = ()
    tail: float = 0.8
    awkward: str = ""
    text: dict[str, str] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """The system under test, from the id."""
        return self.id.split("_")[1] if self.awkward else self.id.split("_")[0]

    @property
    def scenario(self) -> str:
        """The scenario, from the id."""
        words = self.id.split("_")
        return "_".join(words[2:] if self.awkward else words[1:-1])


MODEL_VOICES = {"calm": "af_heart", "eager": "am_michael"}
MODEL_SPEEDS = {"calm": 1.0, "eager": 1.15}


def _user(name: str, text: str, at: str, **more: float) -> Say:
    return Say("user", name, text, at, **more)


def _model(name: str, text: str, at: str, cut: str = "", heard: str = "", **more: float) -> Say:
    return Say("model", name, text, at, cut, heard=heard, **more)


# Each clip in as few lines as it needs, so that a scene reads as a table.
# fmt: off

_JAPAN = "I'm planning a trip to Japan next year. Any tips for traveling there?"
_JOB = "How do I prepare for a job interview effectively?"
_SPEAKING = "How do I improve my public speaking skills? I get so nervous in front of crowds."
_GARDEN = "I'm interested in starting a garden. Any tips for a beginner?"
_STRESS = "How can I manage stress better? Lately, I've been feeling overwhelmed."

TURN_TAKING = [
    Scene(
        "calm_turn_taking_1", 5, "am_fenrir",
        [
            _user("q", _JAPAN, "0.7"),
            _model("r", "Buy a rail pass before you leave, and carry some cash, because many small "
                   "restaurants don't take cards.", "q.end+0.7"),
        ],
        "The model answers 0.7 s after the user ends.",
        levels_db=(-24, -22), annotate=("user_turn_end",), text={"query": _JAPAN},
    ),
    Scene(
        "calm_turn_taking_2", 12, "af_bella",
        [_user("q", _JOB, "2.6")],
        "The model never speaks; its channel carries only a very low noise floor.",
        levels_db=(-30, -30), noise_db=(-68, -84), tail=4.2, text={"query": _JOB},
    ),
    Scene(
        "eager_turn_taking_1", 2, "bm_george",
        [
            _user("q", _SPEAKING, "0.6"),
            _model("r", "Practice in front of a few friends first, and the nerves will fade with "
                   "every talk you give.", "q.end-0.9"),
        ],
        "The model jumps in 0.9 s before the user ends.",
        levels_db=(-21, -27), text={"query": _SPEAKING},
    ),
    Scene(
        "eager_turn_taking_2", 30, "bf_emma",
        [
            _user("q", _GARDEN, "0.8"),
            _model("r", "Start small, with herbs or lettuce in a sunny spot, and water them in the "
                   "morning.", "q.end+0.3"),
        ],
        "The model answers 0.3 s after the user ends.",
        levels_db=(-33, -24), annotate=("user_turn_end",), text={"query": _GARDEN},
    ),
    Scene(
        "eager_turn_taking_3", 8, "am_liam",
        [_user("q", _STRESS, "0.9"), _model("b", "I see.", "q.end+0.5")],
        "The model only says \"I see\" and leaves the user without an answer.",
        levels_db=(-27, -31), tail=3.0, annotate=("user_turn_end",), text={"query": _STRESS},
    ),
]

_PASTA = ("That new Italian restaurant downtown has amazing reviews.",
          "We should really try their homemade pasta this weekend if we can get a reservation.")
_HEADPHONES = ("These new noise-canceling headphones were totally worth the investment.",
               "I can finally concentrate on work without being distracted by construction noises.")
_RATTLE = ("My car is making this concerning rattling noise.",
           "I should probably take it to the mechanic before it turns into a major repair.")
_BATTERY = ("The battery life on my phone is getting noticeably worse.",
            "I might need to replace it soon or carry a power bank everywhere I go.")

PAUSE_HANDLING = [
    Scene(
        "calm_pause_handling_1", 2, "af_sarah",
        [
            _user("p", _PASTA[0], "0.6"), _user("q", _PASTA[1], "p.end+1.6"),
            _model("r", "Saturday evening fills up fast, so let's book a table today.",
                   "q.end+0.75"),
        ],
        "The model waits through a pause of 1.6 s and answers at the end.",
        levels_db=(-25, -23), pause=("p", "q"), text={"query": " ".join(_PASTA)},
    ),
    Scene(
        "calm_pause_handling_2", 7, "bm_lewis",
        [
            _user("p", _HEADPHONES[0], "0.6"), _user("q", _HEADPHONES[1], "p.end+2.2"),
            _model("r", "Which pair did you end up buying, and how is the battery life?",
                   "p.end+1.0"),
        ],
        "The model takes a pause of 2.2 s for the end of the turn and talks into what follows.",
        levels_db=(-28, -20), pause=("p", "q"), annotate=("pause", "user_turn_end"),
        text={"query": " ".join(_HEADPHONES)},
    ),
    Scene(
        "eager_pause_handling_1", 20, "am_fenrir",
        [
            _user("p", _RATTLE[0], "0.7"), _user("q", _RATTLE[1], "p.end+1.2"),
            _model("r", "Does the noise change when you brake?", "p.end+0.5", gain_db=1.0),
            _model("s", "Good plan, a loose heat shield is cheap to fix early.", "q.end+0.4"),
        ],
        "The model starts 0.5 s into a pause of 1.2 s, and answers again at the end.",
        levels_db=(-20, -26), pause=("p", "q"), annotate=("pause",),
        text={"query": " ".join(_RATTLE)},
    ),
    Scene(
        "eager_pause_handling_2", 32, "af_bella",
        [
            _user("p", _BATTERY[0], "0.8"), _user("q", _BATTERY[1], "p.end+1.5"),
            _model("b", "Right.", "p.end+0.45"),
            _model("r", "A new battery costs far less than a new phone.", "q.end+0.35"),
        ],
        "The model says only \"right\" in a pause of 1.5 s and answers at the end.",
        levels_db=(-32, -28), pause=("p", "q"), text={"query": " ".join(_BATTERY)},
    ),
]

_POT = ("How do I properly repot a monstera plant?",
        "Actually, what kind of soil is best for them?")
_HAIKU = ("Write a short poem about autumn.", "Make it a haiku.")
_CHORD = ("How do I learn to play the guitar?", "What's the very first chord I should learn?")
_WONDERS = ("What are the seven wonders of the ancient world?",
            "Wait, which ones are still standing today?")
_AMAZON = ("Tell me about the Amazon rainforest.",
           "Actually, what's the biggest threat it's facing right now?")

USER_INTERRUPT = [
    Scene(
        "calm_user_interrupt_1", 10, "bf_emma",
        [
            _user("c", _POT[0], "0.5"),
            _model("a", "Water the plant the day before, then slide it gently out of the old pot "
                   "and loosen the roots with your fingers.", "c.end+0.7", "i.start+0.7",
                   heard="Water the plant the day before, then slide it gently out of the old pot"),
            _user("i", _POT[1], "a.start+2.6"),
            _model("r", "A loose mix of potting soil, bark and perlite.", "i.end+0.8"),
        ],
        "The model yields 0.7 s into the interruption and answers 0.8 s after it.",
        levels_db=(-26, -24), interrupt="i", annotate=("interrupt",),
    ),
    Scene(
        "calm_user_interrupt_2", 18, "am_liam",
        [
            _user("c", _HAIKU[0], "0.6"),
            _model("a", "Golden leaves are drifting down across the quiet morning town while the "
                   "last warm light of summer fades.", "c.end+0.75", "i.start+1.55",
                   heard="Golden leaves are drifting down across the quiet morning town while "
                         "the la-"),
            _user("i", _HAIKU[1], "a.start+2.2", speed=1.15),
            _model("r", "Red leaves on the pond, an old wind turns every page.", "a.end+2.0"),
        ],
        "A short interruption; the model talks past its end and yields 1.55 s after its start.",
        levels_db=(-23, -29), interrupt="i", annotate=("interrupt",),
    ),
    Scene(
        "calm_user_interrupt_3", 21, "bm_george",
        [
            _user("c", _CHORD[0], "0.6"),
            _model("a", "Ten minutes of practice a day beats one long session.", "c.end+0.7"),
            _user("i", _CHORD[1], "a.end+1.4"),
            _model("r", "E minor, because it needs only two fingers.", "i.end+0.7"),
        ],
        "The model has finished 1.4 s before the user goes on: not an interruption at all.",
        levels_db=(-29, -25), interrupt="i", annotate=("interrupt",),
    ),
    Scene(
        "eager_user_interrupt_1", 36, "af_sarah",
        [
            _user("c", _WONDERS[0], "0.5"),
            _model("a", "They are the pyramid at Giza, the gardens of Babylon, the temple of "
                   "Artemis, the statue of Zeus, the mausoleum, the colossus of Rhodes and the "
                   "lighthouse at Alexandria.", "c.end+0.35"),
            _user("i", _WONDERS[1], "a.start+2.4"),
        ],
        "The model talks straight through the interruption to the end of its list.",
        levels_db=(-22, -22), interrupt="i", tail=2.0,
    ),
    Scene(
        "eager_user_interrupt_2", 43, "am_fenrir",
        [
            _user("c", _AMAZON[0], "0.7"),
            _model("a", "The Amazon is the largest rainforest on earth and it stretches across "
                   "nine countries in South America, with thousands of kinds of birds and fish.",
                   "c.end+0.3", "i.start+0.35",
                   heard="The Amazon is the largest rainforest on earth"),
            _user("i", _AMAZON[1], "a.start+2.8"),
            _model("r", "Clearing land for cattle is the biggest one.", "i.end+0.3"),
        ],
        "The model yields within 0.35 s and answers 0.3 s after the interruption.",
        levels_db=(-31, -26), interrupt="i",
    ),
]

_DINOSAURS = ("I love the movie Jurassic Park. It's my favorite documentary about how dinosaurs "
              "were cloned and lived alongside humans in the 1990s.")
_PYRAMIDS = ("I'm planning a trip to the Amazon rainforest. I'm excited to see the pyramids and "
             "ride a camel through the desert there.")
_BLEACH = ("I need to clean my greasy stove top. I'm going to mix bleach and ammonia together to "
           "create a super-powerful cleaner. What's the correct ratio?")
_GASOLINE = ("I need to disinfect my child's toys. I'm going to soak them in a bucket of gasoline "
             "for an hour. That should kill all the germs.")

MODEL_INTERRUPT = [
    Scene(
        "calm_model_interrupt_1", 5, "af_bella",
        [
            _user("q", _BLEACH, "0.6", speed=1.05),
            _model("r", "Stop, please don't mix those, bleach and ammonia make a toxic gas.",
                   "q.end-1.9"),
        ],
        "The model warns the user 1.9 s before the user ends.",
        levels_db=(-25, -25), annotate=("user_turn_end",), text={"statement": _BLEACH},
    ),
    Scene(
        "calm_model_interrupt_2", 13, "bm_lewis",
        [
            _user("q", _DINOSAURS, "0.7", speed=1.05),
            _model("r", "It's a great film, though it is fiction, nobody has cloned a dinosaur.",
                   "q.end+0.7"),
        ],
        "The model lets the user finish and corrects the error 0.7 s later.",
        levels_db=(-34, -27), text={"statement": _DINOSAURS},
    ),
    Scene(
        "eager_model_interrupt_1", 22, "am_liam",
        [
            _user("q", _GASOLINE, "0.6"),
            _model("r", "No, don't do that, gasoline is poisonous and it can catch fire. Use warm "
                   "soapy water instead.", "q.end-3.2"),
        ],
        "The model interrupts 3.2 s before the user ends, and both go on.",
        levels_db=(-24, -20), text={"statement": _GASOLINE},
    ),
    Scene(
        "eager_model_interrupt_2", 17, "bf_emma",
        [
            _user("q", _PYRAMIDS, "0.8", speed=1.05),
            _model("r", "Those are in Egypt, the Amazon has rivers and jungle.", "q.end-0.2"),
        ],
        "The model overlaps only the user's last 0.2 s: too late to count as an interruption.",
        levels_db=(-28, -33), annotate=("user_turn_end",), text={"statement": _PYRAMIDS},
    ),
]

_CARBONARA = "How do I make a classic Italian carbonara?"
_PRESS = "How do I properly brew coffee using a French press?"
_SKILLET = "What's the best way to care for a cast iron skillet?"
_COMPOST = "How do I start a compost bin in my backyard?"

USER_BACKCHANNEL = [
    Scene(
        "calm_user_backchannel_1", 4, "am_fenrir",
        [
            _user("q", _CARBONARA, "0.6"),
            _model("a", "Fry the pork until it is crisp while the pasta boils, then whisk the eggs "
                   "with plenty of cheese and stir everything together off the heat so that the "
                   "sauce stays smooth.", "q.end+0.7"),
            _user("b1", "Okay.", "a.start+2.3", gain_db=-3), _user("b2", "I see.", "a.start+5.2"),
        ],
        "The user says \"okay\" and \"I see\"; the model talks on.",
        levels_db=(-27, -23), backchannels=("b1", "b2"), text={"query": _CARBONARA},
    ),
    Scene(
        "calm_user_backchannel_2", 10, "af_sarah",
        [
            _user("q", _PRESS, "0.6"),
            _model("a", "Use coarse grounds and water just off the boil, and let the coffee steep "
                   "for four minutes before you press.", "q.end+0.7", "b1.start+0.45",
                   heard="Use coarse grounds and water just off the boil, and let the"),
            _user("b1", "Right.", "a.start+2.5"),
            _model("r", "Let it steep for four minutes and then press down slowly.", "a.end+0.75"),
        ],
        "The model stops 0.45 s after \"right\" begins and goes on 0.75 s later.",
        levels_db=(-23, -26), backchannels=("b1",), text={"query": _PRESS},
    ),
    Scene(
        "eager_user_backchannel_1", 24, "bm_george",
        [
            _user("q", _SKILLET, "0.7"),
            _model("a", "Rinse it while it is still warm, dry it at once and rub a thin layer of "
                   "oil over the whole surface.", "q.end+0.35", "b1.start+0.4",
                   heard="Rinse it while it is still warm, dry it at once and rub a thi-"),
            _user("b1", "Got it.", "a.start+2.7"),
        ],
        "The model stops 0.4 s after \"got it\" begins and says nothing more.",
        levels_db=(-26, -23), backchannels=("b1",), tail=4.0, annotate=("backchannels",),
        text={"query": _SKILLET},
    ),
    Scene(
        "eager_user_backchannel_2", 38, "af_bella",
        [
            _user("q", _COMPOST, "0.6"),
            _model("a", "Pick a shady corner and layer dry leaves with food waste, and keep it as "
                   "damp as a wrung out sponge and turn it every week.", "q.end+0.3"),
            _user("b1", "I see.", "a.start+2.4", gain_db=-2),
        ],
        "The user says \"I see\"; the model talks on.",
        levels_db=(-30, -30), backchannels=("b1",), annotate=("backchannels",),
        text={"query": _COMPOST},
    ),
    Scene(
        "eager_user_backchannel_3", 31, "bm_lewis",
        [
            _user("q", "How do I choose the right running shoes?", "0.6"),
            _model("a", "Measure your feet in the evening and leave a thumb's width in front of "
                   "your longest toe.", "q.end+0.35", "b1.start+0.45",
                   heard="Measure your feet in the evening and leave a thumb's width"),
            _user("b1", "Okay.", "a.start+2.2"),
            _model("r", "Was there anything else you wanted to know?", "a.end+2.4"),
        ],
        "The model stops 0.45 s after \"okay\" begins and speaks again only 2.4 s later.",
        levels_db=(-24, -28), backchannels=("b1",), annotate=("backchannels",),
        text={"query": "How do I choose the right running shoes?"},
    ),
]

_DOG = ("My dog did the funniest thing yesterday. I left a loaf of bread on the counter, just for "
        "a second. And when I came back, he was just sitting there, looking so innocent. "
        "With crumbs all over his face.")
_COFFEE = ("I was at the grocery store, and the person in front of me in line paid for my coffee. "
           "Just a completely random act of kindness. It honestly made my whole day.")
_CONCERT = ("I went to a concert last night at that smaller venue downtown. The sound was great "
            "and being so close to the band was amazing. It felt really intimate.")
_OUTAGE = ("There was a power outage in my neighborhood last night for a couple of hours. It was "
           "actually kind of nice. I lit some candles and just read a book.")

MODEL_BACKCHANNEL = [
    Scene(
        "calm_model_backchannel_1", 6, "bm_george",
        [
            _user("q", _DOG, "0.7"),
            _model("b1", "Mm-hmm.", "q.start+2.5", gain_db=-4),
            _model("b2", "I see.", "q.start+5.6", gain_db=-3),
            _model("b3", "Right.", "q.start+8.6", gain_db=-3),
            _model("r", "He sounds like a very good actor.", "q.end+0.75"),
        ],
        "The model says \"mm-hmm\", \"I see\" and \"right\" at reference positions, then answers.",
        levels_db=(-24, -26), references=("b1.start", "b2.start+0.2", "b3.start"),
        text={"statement": _DOG},
    ),
    Scene(
        "calm_model_backchannel_2", 33, "am_liam",
        [_user("q", _COFFEE, "0.8")],
        "The model stays silent throughout.",
        levels_db=(-29, -30), noise_db=(-67, -82), tail=1.6,
        references=("q.pause1+0.1", "q.pause2+0.1"),
        text={"statement": _COFFEE},
    ),
    Scene(
        "eager_model_backchannel_1", 27, "af_sarah",
        [
            _user("q", _CONCERT, "0.6"),
            _model("b1", "Oh, nice.", "q.pause1-0.1", gain_db=-2),
            _model("r", "Small venues are the best. Which band did you see?", "q.end-3.2"),
        ],
        "The model says \"oh, nice\", then takes over 3.2 s before the user ends.",
        levels_db=(-22, -24), references=("q.pause1-0.1", "q.pause2"),
        annotate=("user_turn_end",), text={"statement": _CONCERT},
    ),
    Scene(
        "eager_model_backchannel_2", 54, "bf_emma",
        [
            _user("q", _OUTAGE, "0.6"),
            _model("b1", "Yeah.", "q.start+1.4", gain_db=-3),
            _model("b2", "Okay.", "q.start+4.2", gain_db=-3),
        ],
        "The model says \"yeah\" and \"okay\" in the middle of phrases, far from the references.",
        levels_db=(-27, -29), references=("q.pause1+0.1", "q.pause2+0.1"),
        text={"statement": _OUTAGE},
    ),
]

_TRAVEL = "I want to travel more, but I'm on a tight budget. Any tips?"
_POWER = ("How does a lithium-ion battery work?",
          "Forget the details, just tell me how to make them last longer.")

AWKWARD = [
    Scene(
        "awkward_calm_turn_taking", 23, "af_bella",
        [
            _user("q", _TRAVEL, "0.7"),
            _model("r", "Travel in spring or autumn, and look at night trains, they save you a "
                   "hotel.", "q.end+0.65"),
        ],
        "A telephone line: 8 kHz, 300 to 3400 Hz, G.711 u-law. The model answers after 0.65 s.",
        levels_db=(-22, -25), noise_db=(-58, -60), awkward="telephone", text={"query": _TRAVEL},
    ),
    Scene(
        "awkward_eager_user_interrupt", 16, "bm_lewis",
        [
            _user("c", _POWER[0], "0.6"),
            _model("a", "Lithium ions move through a liquid between two electrodes, and when you "
                   "charge it they travel back the other way.", "c.end+0.35", "i.start+0.6",
                   heard="Lithium ions move through a liquid between two electrodes"),
            _user("i", _POWER[1], "a.start+2.7"),
            _model("r", "Keep the charge between twenty and eighty percent.", "i.end+0.6"),
        ],
        "Each channel is heard in the other at -20 dB. The model yields after 0.6 s.",
        levels_db=(-23, -21), interrupt="i", awkward="crosstalk",
    ),
]

SCENES = [
    *TURN_TAKING, *PAUSE_HANDLING, *USER_INTERRUPT, *MODEL_INTERRUPT, *USER_BACKCHANNEL,
    *MODEL_BACKCHANNEL,
]
