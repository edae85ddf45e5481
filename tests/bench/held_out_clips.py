r"""Voices that nothing was tuned on, for ``bench_held_out.py``.

    python tests/bench/held_out_clips.py DIR

writes DIR/clips/VOICE/*.wav (English, with their texts) and DIR/babble/VOICE/*.wav (other
languages), with whatever can speak:

- ``flite`` (slt, rms, awb) and ``espeak-ng``, where they are installed
  (``apt-get install flite espeak-ng``);
- Kokoro-82M in four voices that the sample recordings do not use: install it as the docstring of
  ``sample_recordings/make.py`` says, run this with that environment's Python, and add
  ``--kokoro MODEL.onnx VOICES.npz`` (``make.py`` leaves both in its cache).

Any folder of the same shape will do instead: recordings of one voice each, a subfolder a voice.
"""

import argparse
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

TURNS = (
    "My neighbour grows tomatoes on the roof, and every August she leaves a basket at our door.",
    "Could you tell me which platform the late train to the coast leaves from?",
    "We painted the kitchen yellow last spring. It looked fine in the shop, but at home it is far "
    "too bright.",
    "The library closes at six, so we should hurry if you want that book today.",
    "I have been learning the cello for a year now, and my dog still leaves the room.",
    "Put the rice on first, then chop the onions while the water heats up.",
    "What happens if both keys are lost? Somebody must have a third one.",
    "Honestly, the museum was empty, and the guide talked to us for three hours.",
    "There is a small bridge behind the mill where the herons stand in the morning.",
    "Please send the parcel to my office, because nobody is home before seven.",
    "He fixed the bicycle with a piece of string and a spoon, and it held all summer.",
    "Is it true that the old cinema will open again before Christmas?",
    "I would rather walk. The bus takes twice as long when the market is on.",
    "She keeps a list of every bird she has seen from that window since nineteen ninety.",
    "The soup needs salt, a little lemon, and about ten more minutes.",
    "Which of these two jackets would you take to Scotland in October?",
    "They moved the meeting to Thursday, then back to Tuesday, and finally gave up.",
    "Our cat opens doors, cupboards and, since last week, the fridge as well.",
    "If the snow holds, we can take the ridge; otherwise it is the valley road.",
    "A friend of mine repairs clocks for a living and is never on time.",
    "Can I change the booking to four people without paying the fee again?",
    "The recipe says two eggs, but my grandmother always used three and a half.",
    "It rained for nine days, so we read every book in that cottage twice.",
    "Turn left after the bakery, pass the school, and the house is opposite the church.",
    "I forgot the umbrella on the tram, and the driver brought it to the next stop.",
    "Do you think the second half of the film explains what the first half means?",
    "Each of the children planted a tree, and one of them is taller than the roof.",
    "The boat leaves at noon. Bring a warm coat, some water and a good book.",
    "Nobody told me that the concert had been moved to the town hall.",
    "For the picnic we need bread, cheese, apples and something to sit on.",
    "The lift has been broken since Friday, and my aunt lives on the seventh floor.",
    "How long does it take for the glue to dry when it is this cold?",
    "We counted forty ships from the lighthouse before the fog came in.",
    "Somebody should write down how grandfather tuned that piano without any tools.",
    "You can have the blue room, though the window sticks and the stairs creak.",
    "I would have called earlier, but the phone fell into the pond.",
)
CALLS = (
    "Mm-hmm.",
    "I see.",
    "Really?",
    "Sure.",
    "Of course.",
    "Oh, nice.",
    "Yeah.",
    "Good.",
    "Right.",
    "Go on.",
)
OTHERS = {
    "es": (
        "El domingo fuimos al mercado y compramos naranjas, pan y un sombrero para el sol.",
        "Nadie sabe cuándo llega el tren, porque el reloj de la estación no funciona.",
    ),
    "it": (
        "La casa sul lago ha tre finestre verdi e un giardino pieno di limoni.",
        "Domani mattina prendiamo la barca presto, se il vento lo permette.",
    ),
    "fr": (
        "Le boulanger ferme à midi, alors il faut partir tout de suite.",
        "Ma sœur habite près du port et regarde les bateaux tous les soirs.",
    ),
    "pt": (
        "O rio estava cheio e a ponte fechada, então voltamos para a cidade.",
        "Meu avô conta a mesma história todo Natal, e ninguém se cansa.",
    ),
}

Speak = Callable[[str, str, Path], None]

KOKORO = ("af_nova", "am_adam", "bf_isabella", "bm_daniel")
KOKORO_OTHERS = {"ef_dora": "es", "if_sara": "it", "ff_siwis": "fr", "pm_alex": "pt"}
FLITE = ("slt", "rms", "awb")
ESPEAK = ("en-us+f3", "en-gb+m4")


def flite(text: str, voice: str, path: Path) -> None:
    """Speak with flite."""
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True)


def espeak(text: str, voice: str, path: Path) -> None:
    """Speak with espeak-ng."""
    subprocess.run(["espeak-ng", "-v", voice, "-w", path, text], check=True)


def kokoro(model: str, voices: str) -> Speak:
    """Speak with Kokoro, on one thread: the same clips every time."""
    import onnxruntime
    import soundfile
    from kokoro_onnx import Kokoro

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    engine = Kokoro.from_session(onnxruntime.InferenceSession(model, options), voices)
    tongues = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "i": "it", "p": "pt-br"}

    def speak(text: str, voice: str, path: Path) -> None:
        turn = int(path.stem[-1]) if path.stem.startswith("turn") else 1
        pace = (0.95, 1.0, 1.1)[turn % 3]
        audio, rate = engine.create(text, voice, pace, tongues[voice[0]], trim=False)
        soundfile.write(path, audio, rate, "PCM_16")

    return speak


def write_voice(folder: Path, speak: Speak, voice: str, texts: dict[str, str]) -> None:
    """Every text that is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / f"{name}.wav"
        if not path.exists():
            speak(text, voice, path)
            path.with_suffix(".txt").write_text(text + "\n", "utf-8")


def lines(k: int) -> dict[str, str]:
    """What the k-th voice says."""
    texts = {f"turn{j}": TURNS[(6 * k + j) % len(TURNS)] for j in range(6)}
    return texts | {f"call{j}": CALLS[(2 * k + j) % len(CALLS)] for j in range(2)}


def write_clips(folder: Path, engine: tuple[str, str] | None = None) -> list[str]:
    """Clips of all voices there are.

    Parameters
    ----------
    folder : Path
    engine : (str, str), optional
        Model and voices of Kokoro.

    Returns
    -------
    list of str
        The English voices.
    """
    voices: list[tuple[Speak, str]] = []
    others: list[tuple[Speak, str, str]] = []
    if engine is not None:
        speak = kokoro(*engine)
        voices += [(speak, voice) for voice in KOKORO]
        others += [(speak, voice, tongue) for voice, tongue in KOKORO_OTHERS.items()]
    if shutil.which("flite"):
        voices += [(flite, voice) for voice in FLITE]
    if shutil.which("espeak-ng"):
        # A formant synthesizer sounds least like a person: it stands in where there is little else.
        voices += [(espeak, voice) for voice in ESPEAK] if len(voices) < 4 else []
        others += [(espeak, tongue, tongue) for tongue in OTHERS] if not others else []
    for k, (speak, voice) in enumerate(voices):
        write_voice(folder / "clips" / voice, speak, voice, lines(k))
    for speak, voice, tongue in others:
        texts = {f"talk{j}": text for j, text in enumerate(OTHERS[tongue])}
        write_voice(folder / "babble" / voice, speak, voice, texts)
    return [voice for _, voice in voices]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kokoro", nargs=2, metavar=("MODEL", "VOICES"))
    given = parser.parse_args()
    print("\n".join(write_clips(given.folder, given.kokoro)))
