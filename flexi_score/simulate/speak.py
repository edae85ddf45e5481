"""Speak texts with the user's own text-to-speech command, or take clips that are there already.

The command is a template such as ``espeak-ng -w {wav} -f {txt}``. It is split like a shell would,
but no shell sees it; the text is passed in a file, so nothing in a text can be taken for an option
or a command.
"""

import hashlib
import json
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from flexi_score.errors import AudioError, InputError, PrerequisiteError
from flexi_score.output import write_text
from flexi_score.simulate.clips import Clip, make_clip, read_mono

TIMEOUT_S: Final = 300
#: Remembers which command spoke which text into which clip.
LEDGER: Final = "spoken.json"


class TextToSpeech:
    """Speaks texts into clips of a folder; what it has spoken already it does not speak again.

    ``template``: command with ``{txt}`` (a UTF-8 file that holds the text) and ``{wav}`` (the file
    to write). ``folder``: where the clips are kept, each with its text beside it.
    """

    def __init__(self, template: str, folder: Path) -> None:
        try:
            self.command = shlex.split(template)
        except ValueError as error:
            raise InputError(f"--tts {template!r}: not a command ({error})") from None
        missing = [m for m in ("{txt}", "{wav}") if not any(m in part for part in self.command)]
        if missing or not self.command:
            raise InputError(
                f"--tts {template!r}: {' and '.join(missing)} missing; expected a command such as "
                "'espeak-ng -w {wav} -f {txt}'"
            )
        if shutil.which(self.command[0]) is None:
            raise PrerequisiteError(
                f"--tts: no program {self.command[0]!r}; install it, or name its full path"
            )
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.spoken = _read_ledger(folder / LEDGER)

    def clip(self, name: str, text: str) -> Clip:
        """A clip of a text, spoken now or before.

        Raises InputError where the command fails, writes no audio, or writes audio without speech.
        """
        path = self.folder / f"{name}.wav"
        key = hashlib.sha256("\0".join([*self.command, text]).encode()).hexdigest()
        if self.spoken.get(name) != key or not path.exists():
            if self.spoken.pop(name, None):  # killed from here on, it is spoken again
                write_text(self.folder / LEDGER, json.dumps(self.spoken, indent=1))
            self._speak(path, text)
            clip = _read_clip(path, name, text)
            path.with_suffix(".txt").write_text(text + "\n", "utf-8")
            self.spoken[name] = key
            write_text(self.folder / LEDGER, json.dumps(self.spoken, indent=1))
            return clip
        return _read_clip(path, name, text)

    def _speak(self, path: Path, text: str) -> None:
        with tempfile.TemporaryDirectory(prefix="flexi_score-") as temporary:
            written, spoken = Path(temporary) / "text.txt", Path(temporary) / "speech.wav"
            written.write_text(text + "\n", "utf-8")
            places = {"{txt}": str(written), "{wav}": str(spoken)}
            command = [_fill(part, places) for part in self.command]
            try:
                done = subprocess.run(
                    command,
                    capture_output=True,
                    timeout=TIMEOUT_S,
                    check=False,
                    stdin=subprocess.DEVNULL,
                )
            except OSError as error:
                raise PrerequisiteError(f"--tts: {command[0]} cannot be run ({error})") from error
            except subprocess.TimeoutExpired:
                raise InputError(
                    f"--tts: {command[0]} took longer than {TIMEOUT_S} s over {path.stem}"
                ) from None
            if done.returncode != 0:
                said = done.stderr.decode("utf-8", "replace").strip().splitlines()
                raise InputError(
                    f"--tts: {command[0]} failed with code {done.returncode} over {path.stem}: "
                    f"{said[-1][:300] if said else 'it says nothing'}"
                )
            if not spoken.exists() or spoken.stat().st_size == 0:
                raise InputError(
                    f"--tts: {command[0]} wrote no audio over {path.stem}; does the command write "
                    "to {wav}?"
                )
            shutil.copyfile(spoken, path)


def clip_of(folder: Path, name: str, text: str) -> Clip:
    """A clip that somebody recorded, by the name that it must have."""
    for suffix in (".wav", ".flac", ".ogg", ".mp3"):
        path = folder / f"{name}{suffix}"
        if path.exists():
            return _read_clip(path, name, text)
    raise InputError(
        f"{folder}: no clip {name}.wav (or .flac, .ogg, .mp3), which is to say: {text}"
    )


def _read_clip(path: Path, name: str, text: str) -> Clip:
    try:
        clip = make_clip(read_mono(path), str(path), text=text)
    except AudioError as error:
        raise InputError(str(error)) from error
    return Clip(name, clip.audio, clip.speech, clip.voice, text)


def _fill(part: str, places: dict[str, str]) -> str:
    for mark, path in places.items():
        part = part.replace(mark, path)
    return part


def _read_ledger(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in known.items()} if isinstance(known, dict) else {}
