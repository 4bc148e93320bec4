"""Spoken words with their times: three small corpora that are synthesised on the reader's machine, once, and kept in the cache folder.

``commands``    "set the kitchen light to forty percent"; in half of the utterances one word is drowned in noise (lesson 51)
``phrases``     number, colour, noun in English, German, French and Spanish, with translations: ``translate`` (lesson 52)
``confusable``  six, sixteen, sixty and their like, which differ only at the end (lesson 53)

The voices of the test part never occur in training. Sound by eSpeak NG (``minilib.data.espeak``: GPL-3.0 or later, loaded at run time,
not part of this project); the sentences are ours. Only features that the reader's own machine computed are kept: in the user's cache
folder, or in the folder that the environment variable COURSE_CACHE names.
"""

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

import minilib.data.espeak
import minilib.speech
from minilib.check import headless
from minilib.data.espeak import Espeak, library
from minilib.speech import RATE, features

__all__ = ["PARTS", "Espeak", "Part", "Utterance", "corpus", "translate"]


@dataclass(frozen=True)
class Utterance:
    """Standardised log-mel, 100 frames a second, and the words with the seconds at which each begins and ends."""

    mel: Float[Tensor, "t 40"]
    words: tuple[str, ...]
    onsets: tuple[float, ...]
    ends: tuple[float, ...]
    voice: str
    lang: str


# ---------------------------------------------------------------------------------------------------------------------- sentences

DIGITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
UNITS = {"light": "percent", "heater": "degrees", "timer": "minutes", "alarm": "hours", "volume": "points", "blind": "steps"}
VERBS, ROOMS = ["set", "turn", "switch", "change"], ["kitchen", "bedroom", "bathroom", "office", "garage", "hallway"]
ENDINGS = ["six", "sixteen", "sixty", "seven", "seventeen", "seventy", "eight", "eighteen", "eighty", "nine", "nineteen", "ninety"]
MEANINGS = {  # language: eight numbers, five colours, five nouns, "and"; all in the plural and in one gender
    "en": (
        "two three four five six seven eight nine",
        "red green black white yellow",
        "houses tables chairs flowers lamps",
        "and",
    ),
    "de": (
        "zwei drei vier fünf sechs sieben acht neun",
        "rote grüne schwarze weiße gelbe",
        "Häuser Tische Stühle Blumen Lampen",
        "und",
    ),
    "fr": (
        "deux trois quatre cinq six sept huit neuf",
        "rouges vertes noires blanches jaunes",
        "maisons tables chaises fleurs lampes",
        "et",
    ),
    "es": (
        "dos tres cuatro cinco seis siete ocho nueve",
        "rojas verdes negras blancas amarillas",
        "casas mesas sillas flores lámparas",
        "y",
    ),
}
NOUN_FIRST = ("fr", "es")


def _command(rng: random.Random, lang: str) -> list[str]:
    device, number = rng.choice(list(UNITS)), rng.randint(2, 99)
    tens, ones = divmod(number, 10)
    spoken = [TEENS[ones]] if tens == 1 else [TENS[tens - 2]] * (tens > 1) + [DIGITS[ones - 1]] * (ones > 0)
    return [rng.choice(VERBS), "the", rng.choice(ROOMS), device, "to", *spoken, UNITS[device]]


def _phrase(rng: random.Random, lang: str) -> list[str]:
    numbers, colours, nouns, joint = MEANINGS[lang]
    words: list[str] = []
    for _ in range(rng.randint(1, 2)):
        number, colour, noun = (rng.choice(choices.split()) for choices in (numbers, colours, nouns))
        words += [joint] * bool(words) + ([number, noun, colour] if lang in NOUN_FIRST else [number, colour, noun])
    return words


def _confusable(rng: random.Random, lang: str) -> list[str]:
    return [rng.choice(ENDINGS if rng.random() < 0.6 else ["zero", "one", "two"]) for _ in range(rng.randint(2, 4))]


def translate(words: tuple[str, ...], lang: str, to: str) -> tuple[str, ...]:
    """A phrase in another language: word by word, then colour and noun exchanged where the languages order them differently."""
    source, target = (" ".join(MEANINGS[name]).split() for name in (lang, to))
    out = [target[source.index(word)] for word in words]
    if (lang in NOUN_FIRST) != (to in NOUN_FIRST):
        for at in range(1, len(out), 4):  # number, x, y, and, number, x, y
            out[at], out[at + 1] = out[at + 1], out[at]
    return tuple(out)


# -------------------------------------------------------------------------------------------------------------------------- parts


@dataclass(frozen=True)
class Part:
    """How one part is made; ranges are uniform."""

    sizes: tuple[int, int]  # utterances of each language for training and for testing
    languages: tuple[str, ...]
    voices: tuple[str, str]  # variants for training and for testing; "plain" is the language's own voice
    wpm: tuple[int, int]
    snr: tuple[int, int]  # decibels
    sentence: Callable[[random.Random, str], list[str]]
    drowned: float = 0.0  # share of utterances with one word at 0.3 of its loudness under noise as loud as the speech


FEW, TESTED = "m1 m2 m3 m4 m7 f1 f2 f4", "m6 m8 f3 f5"
MANY = (
    f"{FEW} m5 plain Alex Andy Annie Denis Gene Henrique Jacky Lee Mario Michael Mike Nguyen Reed adam aunty belinda david edward "
    "grandma max rob quincy shelby"
)
PARTS = {
    "commands": Part((1200, 900), ("en",), (f"{FEW} m5 plain", TESTED), (190, 260), (12, 28), _command, drowned=0.5),
    "phrases": Part((400, 60), ("en", "de", "fr", "es"), (FEW, TESTED), (190, 240), (15, 30), _phrase),
    "confusable": Part((1600, 600), ("en",), (MANY, f"{TESTED} linda robert boris steph"), (185, 225), (18, 30), _confusable),
}


def _utterance(speaker: Espeak, part: Part, rng: random.Random, noise: torch.Generator, lang: str, variants: list[str]) -> Utterance:
    from scipy.signal import resample_poly

    words, variant = part.sentence(rng, lang), rng.choice(variants)
    voice = ("en-us" if lang == "en" else lang) + ("" if variant == "plain" else f"+{variant}")
    spoken = speaker.say(" ".join(words), voice, wpm=rng.randint(*part.wpm), pitch=rng.randint(35, 65))
    x = torch.tensor(resample_poly(spoken.samples.numpy(), RATE, spoken.rate), dtype=torch.float32)
    loud = x.pow(2).mean().sqrt()
    ends = (*spoken.onsets[1:], spoken.end)
    if rng.random() < part.drowned:
        which = rng.randrange(len(words))
        a, b = int(spoken.onsets[which] * RATE), int(ends[which] * RATE)
        x[a:b] = 0.3 * x[a:b] + loud * torch.randn(len(x[a:b]), generator=noise)
    before, after = (rng.uniform(0.03, 0.15) for _ in range(2))
    x = torch.nn.functional.pad(x, (int(before * RATE), int(after * RATE)))
    x = x + loud * 10 ** (-rng.uniform(*part.snr) / 20) * torch.randn(len(x), generator=noise)
    begin, stop = (tuple(round(before + t, 3) for t in times) for times in (spoken.onsets, ends))
    return Utterance(features(x, RATE), tuple(words), begin, stop, voice, lang)


def _synthesise(part: Part) -> Iterator[Utterance]:
    """All utterances for training, then all for testing, the languages in turn. The same in every fresh process."""
    speaker, rng, noise = Espeak(), random.Random(0), torch.Generator().manual_seed(0)
    for size, variants in zip(part.sizes, part.voices, strict=True):
        for i in range(size * len(part.languages)):
            yield _utterance(speaker, part, rng, noise, part.languages[i % len(part.languages)], variants.split())


# -------------------------------------------------------------------------------------------------------------------------- cache


def corpus(part: str, *, split: str, cache: bool = True) -> list[Utterance]:
    """The utterances of a part for ``train`` or ``test``. The first call takes some ten seconds, later ones a fraction of one.

    Args:
        cache: keep what was made; a file that was damaged is made anew.

    Raises:
        ValueError: an unknown part or split.
        ImportError: eSpeak NG is missing; the message says how to get it.
        RuntimeError: the synthesis failed; the message says why.
    """
    if part not in PARTS or split not in ("train", "test"):
        raise ValueError(f"there is no {split!r} split of a part {part!r}; parts are {', '.join(PARTS)}, splits train and test")
    if not cache:
        with tempfile.TemporaryDirectory() as folder:
            made = _read(_make(part, Path(folder) / "speech.npz"))
    else:
        path = _folder() / f"speech-{part}-{_recipe(part)}.npz"
        try:
            made = _read(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # not there yet, or damaged
            made = _read(_make(part, path))
            for old in path.parent.glob(f"speech-{part}-*.npz"):  # made by earlier recipes
                if old != path:
                    old.unlink(missing_ok=True)
    n = PARTS[part].sizes[0] * len(PARTS[part].languages)
    return made[:n] if split == "train" else made[n:]


def _folder() -> Path:
    from platformdirs import user_cache_path

    folder = Path(os.environ.get("COURSE_CACHE") or user_cache_path("transformers-rebuilt"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _recipe(part: str) -> str:
    """Changes with the synthesiser's version, the sizes, and the code that makes the features."""
    try:
        version = metadata.version("espeakng-loader")
    except metadata.PackageNotFoundError:
        version = "system"
    code = [Path(file).read_bytes() for file in (__file__, minilib.data.espeak.__file__, minilib.speech.__file__)]
    return hashlib.sha256(b"".join([*code, f"{version} {PARTS[part].sizes}".encode()])).hexdigest()[:12]


def _make(part: str, path: Path) -> Path:
    """Synthesise in a process of its own, since only there the bits are always the same, and move the file into place when it is whole."""
    library()
    sizes, languages = PARTS[part].sizes, PARTS[part].languages
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    command = [sys.executable, "-m", "minilib.data.speech", part, *map(str, sizes), str(temporary)]
    root = Path(__file__).parents[2]
    try:
        with (
            tqdm(total=sum(sizes) * len(languages), desc=f"speaking {part}", leave=False, disable=headless()) as bar,
            subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child,
        ):
            for line in child.stdout or ():
                bar.update(int(line))
            complaint = (child.stderr.read() if child.stderr else "").strip().splitlines()
        if child.returncode:
            raise RuntimeError(f"the spoken {part} could not be made: {complaint[-1] if complaint else child.returncode}")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _read(path: Path) -> list[Utterance]:
    with np.load(path, allow_pickle=False) as data:
        mels = torch.tensor(data["mel"]).float().split(data["frames"].tolist())
        rows = [data[name].tolist() for name in ("words", "onsets", "ends", "voice", "lang")]
    times = lambda text: tuple(map(float, text.split()))  # noqa: E731
    return [
        Utterance(mel, tuple(words.split()), times(onsets), times(ends), voice, lang)
        for mel, words, onsets, ends, voice, lang in zip(mels, *rows, strict=True)
    ]


def _write(made: list[Utterance], path: Path) -> None:
    table: dict[str, Any] = {name: np.array([" ".join(map(str, getattr(u, name))) for u in made]) for name in ("words", "onsets", "ends")}
    table |= {name: np.array([getattr(u, name) for u in made]) for name in ("voice", "lang")}
    mel = torch.cat([u.mel for u in made]).half().numpy()
    with path.open("wb") as file:
        np.savez(file, mel=mel, frames=np.array([len(u.mel) for u in made]), **table)


def _main(part: str, train: str, test: str, path: str) -> None:
    torch.set_num_threads(1)
    made = []
    for utterance in _synthesise(replace(PARTS[part], sizes=(int(train), int(test)))):
        made.append(utterance)
        print(1, flush=len(made) % 50 == 0)
    _write(made, Path(path))


if __name__ == "__main__":
    _main(*sys.argv[1:])
