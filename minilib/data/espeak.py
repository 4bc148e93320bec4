"""The speech synthesiser eSpeak NG, called through ctypes: text → sound with the onset of every word.

eSpeak NG is free software under the GPL, version 3 or later. This project neither contains nor changes it: the library is installed by
pip as a dependency of its own (``espeakng-loader``, with all voices) or by the system, and loaded at run time. It works offline, on
Linux, macOS and Windows, and speaks several hundred times faster than a person.
"""

import ctypes
import os
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Espeak", "Spoken", "library"]

SYNCHRONOUS, DONT_EXIT, CHARACTERS, UTF8 = 2, 0x8000, 1, 1  # names and values of espeak-ng's speak_lib.h
WORDS_A_MINUTE, PITCH = 1, 3
LAST, WORD, END = 0, 1, 5  # kinds of event


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("id", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("detail", ctypes.c_char * 8),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Spoken:
    """Sound in [−1, 1] and, in seconds, where every word begins and where the last one ends."""

    samples: Float[Tensor, "n"]
    rate: int
    onsets: tuple[float, ...]
    end: float


def library() -> tuple[str, str | None]:
    """Paths of the shared library and of its data (None where the system knows).

    Raises:
        ImportError: it is not installed; the message says how to get it.
    """
    try:
        import espeakng_loader
    except ImportError:
        found = find_library("espeak-ng")
        if found is None:
            raise ImportError(
                "speech is made by the synthesiser eSpeak NG: pip install espeakng-loader, or install espeak-ng with your system's packages"
            ) from None
        return found, None
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


class Espeak:
    """The synthesiser. The same calls in the same order give the same bits in every fresh process; repeated within one they differ
    inaudibly, since it keeps an inner phase.

    Raises:
        ImportError: the library is not installed.
        OSError: it does not load or start.
    """

    def __init__(self) -> None:
        path, data = library()
        self._lib = ctypes.CDLL(path)
        self.rate: int = self._lib.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(data) if data else None, DONT_EXIT)
        if self.rate <= 0:
            raise OSError(f"eSpeak NG did not start with its data in {data}")
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breathy voices contain noise
        self._lib.espeak_Info.restype = ctypes.c_char_p
        self.version: str = self._lib.espeak_Info(None).decode().split()[0]
        self._variants = {file.name for file in Path(data, "voices", "!v").iterdir()} if data else None
        self._sound: list[bytes] = []
        self._events: list[tuple[int, int]] = []
        self._hear = _CALLBACK(self._receive)  # kept here, or it would be collected

    def _receive(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self._sound.append(ctypes.string_at(samples, 2 * count))
        at = 0
        while events[at].type != LAST:
            self._events.append((events[at].type, events[at].sample))
            at += 1
        return 0

    def say(self, text: str, voice: str = "en-us", *, wpm: int = 175, pitch: int = 50) -> Spoken:
        """Speak a text.

        Args:
            voice: a language such as ``en-us``, ``de``, ``fr``, ``es``, with or without a variant: ``en-us+f3``.
            wpm: words a minute, 80 … 450.
            pitch: 0 … 99.

        Raises:
            ValueError: an unknown voice, or a text without a word.
        """
        language, _, variant = voice.partition("+")
        unknown = bool(variant) and self._variants is not None and variant not in self._variants  # eSpeak would just ignore it
        if unknown or self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice!r}; a voice is a language such as en-us and a variant such as +f3")
        self._lib.espeak_SetParameter(WORDS_A_MINUTE, wpm, 0)
        self._lib.espeak_SetParameter(PITCH, pitch, 0)
        self._sound, self._events = [], []
        self._lib.espeak_SetSynthCallback(self._hear)
        encoded = text.encode() + b"\0"
        self._lib.espeak_Synth(encoded, len(encoded), 0, CHARACTERS, 0, UTF8, None, None)
        onsets = tuple(sample / self.rate for kind, sample in self._events if kind == WORD)
        if not onsets or not self._sound:
            raise ValueError(f"there is nothing to say in {text!r}")
        samples = torch.frombuffer(bytearray(b"".join(self._sound)), dtype=torch.int16).float() / 2**15
        end = max((sample for kind, sample in self._events if kind == END), default=len(samples))
        return Spoken(samples, self.rate, onsets, end / self.rate)
