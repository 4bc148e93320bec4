"""Speech recognition: from sound to features, from features to frames of an encoder, from frames to words, and the word error rate.

``mel_bank`` ``log_mel`` ``features``  sound → log-mel             ``batch_frames``  stack and pad a list of them
``Encoder``                            frames → states → CTC       ``ctc_greedy``    the likeliest label a frame, collapsed
``cif``                                continuous integrate-and-fire: frames → one vector a token (Dong and Xu 2020)
``edit_distance`` ``wer``              how far from what was said

Lesson 51 (Paraformer, Gao et al. 2022) builds these by hand; 52 and 53 use them. The CTC and transducer losses are kernels
(``minilib.kernels.ctc``, ``minilib.kernels.rnnt``), the spoken words are in ``minilib.data.speech``.

``B`` utterances, ``T`` frames, ``F`` mel bands, ``D`` width, ``U`` tokens, ``V`` vocabulary with the blank.
"""

from collections.abc import Hashable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from minilib.attention import attention
from minilib.layers import sinusoids

__all__ = [
    "Encoder",
    "EncoderBlock",
    "batch_frames",
    "cif",
    "ctc_greedy",
    "edit_distance",
    "features",
    "log_mel",
    "mel_bank",
    "wer",
]

RATE = 16_000  # samples a second of all features
MEAN, STD = -0.2, 2.45  # of the log-mel values of the corpus's commands, all bands together


# ----------------------------------------------------------------------------------------------------------------------- features


def mel_bank(n_mels: int, n_fft: int, sr: int, fmin: float = 80.0, fmax: float = 7600.0) -> Float[Tensor, "{n_mels} {n_fft//2+1}"]:
    """Triangular filters over the bins of a Fourier transform; their centres are equally far apart in mel, 2595 log₁₀(1 + f/700).

    Each falls to 0 at its neighbours' centres, so that between the first and the last centre the filters sum to 1.

    Raises:
        ValueError: the band does not lie between 0 and half the sampling rate.
    """
    if not 0 <= fmin < fmax <= sr / 2:
        raise ValueError(f"the band must satisfy 0 ≤ fmin < fmax ≤ {sr / 2:g} Hz, got {fmin:g} … {fmax:g}")
    low, high = (2595 * torch.log10(1 + torch.tensor(f, dtype=torch.float64) / 700) for f in (fmin, fmax))
    mel = low + (high - low) * torch.linspace(0, 1, n_mels + 2, dtype=torch.float64)
    hz = 700 * (10 ** (mel / 2595) - 1)
    bins = torch.arange(n_fft // 2 + 1) * (sr / n_fft)
    rise = (bins - hz[:-2, None]) / (hz[1:-1] - hz[:-2])[:, None]
    fall = (hz[2:, None] - bins) / (hz[2:] - hz[1:-1])[:, None]
    return torch.minimum(rise, fall).clamp(min=0).float()


def log_mel(x: Float[Tensor, "n"], sr: int = RATE, n_mels: int = 40) -> Float[Tensor, "t {n_mels}"]:
    """``log(mel bank · power + 1e-6)`` of Hann windows of 25 ms, one every 10 ms; frame i is centred at 10·i ms."""
    window, hop = round(0.025 * sr), round(0.010 * sr)
    n_fft = 1 << (window - 1).bit_length()
    spectrum = torch.stft(x, n_fft, hop, window, torch.hann_window(window), center=True, pad_mode="constant", return_complex=True)
    power = spectrum.abs() ** 2
    return (mel_bank(n_mels, n_fft, sr, fmax=min(7600.0, sr / 2)) @ power + 1e-6).log().T


def features(x: Float[Tensor, "n"], sr: int) -> Float[Tensor, "t 40"]:
    """What a model of the lessons is given: resampled to 16 kHz, peak 1, ``log_mel``, standardised with two fixed numbers."""
    from scipy.signal import resample_poly

    if sr != RATE:
        x = torch.tensor(resample_poly(x.numpy(), RATE, sr), dtype=torch.float32)
    return (log_mel(x / x.abs().max().clamp(min=1e-6)) - MEAN) / STD


def batch_frames(mels: Sequence[Float[Tensor, "_ f"]], k: int) -> tuple[Float[Tensor, "b t kf"], Int[Tensor, "b"]]:
    """``(x, frames)``: k successive frames side by side as one, utterances padded with zeros; ``frames`` is each one's own length."""
    stacked = [mel[: len(mel) // k * k].reshape(-1, k * mel.shape[1]) for mel in mels]
    return nn.utils.rnn.pad_sequence(stacked, batch_first=True), torch.tensor([len(mel) for mel in stacked])


# ------------------------------------------------------------------------------------------------------------------------ encoder


class EncoderBlock(nn.Module):
    """Self-attention, a depth-wise convolution over time and an MLP, each pre-norm and residual. Padding is neither seen nor convolved."""

    def __init__(self, d: int, heads: int = 4, kernel: int = 7, ratio: int = 3):
        super().__init__()
        if d % heads or kernel % 2 == 0:
            raise ValueError(f"the width {d} must be a multiple of {heads} heads and the kernel odd, got {kernel}")
        self.heads = heads
        self.norm1, self.qkv, self.out = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.norm2, self.conv = nn.LayerNorm(d), nn.Conv1d(d, d, kernel, padding=kernel // 2, groups=d)
        self.norm3, self.mlp = nn.LayerNorm(d), nn.Sequential(nn.Linear(d, ratio * d), nn.GELU(), nn.Linear(ratio * d, d))

    def forward(self, x: Float[Tensor, "b t d"], real: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(attention(q, k, v, real[:, None, None]).transpose(1, 2).flatten(-2))
        clean = (self.norm2(x) * real[..., None]).transpose(1, 2)
        x = x + F.silu(self.conv(clean)).transpose(1, 2)
        return x + self.mlp(self.norm3(x))


class Encoder(nn.Module):
    """Stacked frames → states with sinusoidal positions; ``head`` turns states into CTC logits. (B, T, inputs) → (B, T, D)."""

    def __init__(self, inputs: int, V: int, d: int = 96, layers: int = 2, heads: int = 4):
        super().__init__()
        self.embed = nn.Linear(inputs, d)
        self.blocks = nn.ModuleList(EncoderBlock(d, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, V)

    def forward(self, x: Float[Tensor, "b t f"], frames: Int[Tensor, "b"]) -> Float[Tensor, "b t d"]:
        real = torch.arange(x.shape[1]) < frames[:, None]
        h = self.embed(x)
        h = h + sinusoids(h.shape[1], h.shape[2])
        for block in self.blocks:
            h = block(h, real)
        return self.norm(h)


# ------------------------------------------------------------------------------------------------------------------ frames → tokens


def cif(h: Float[Tensor, "b t d"], alpha: Float[Tensor, "b t"], U: int) -> tuple[Float[Tensor, "b {U} d"], Float[Tensor, "b {U} t"]]:
    """``(E, W)``: continuous integrate-and-fire with threshold 1, all tokens at once, E = W h.

    With c_t = Σ_{s≤t} α_s the share of frame t in token u is the overlap of the intervals (c_{t−1}, c_t) and (u − 1, u):
    w_{u,t} = max(0, min(c_t, u) − max(c_{t−1}, u − 1)). A token u ≤ Σα gets weights that sum to 1; a frame is split where it crosses a
    border. Equal to the loop that adds up α and fires, with exact gradients (lesson 51).

    Raises:
        ValueError: a negative weight.
    """
    if bool((alpha < 0).any()):
        raise ValueError(f"alpha must not be negative, its smallest entry is {float(alpha.min()):g}")
    end = alpha.cumsum(1)
    start = end - alpha
    u = torch.arange(1, U + 1, device=alpha.device).to(alpha.dtype)[:, None]
    W = (torch.minimum(end[:, None], u) - torch.maximum(start[:, None], u - 1)).clamp(min=0)
    return W @ h, W


def ctc_greedy(logits: Float[Tensor, "b t v"], frames: Int[Tensor, "b"], blank: int = 0) -> list[list[int]]:
    """The likeliest label of every frame, repeats merged, blanks dropped. Probabilities or logits, it makes no difference."""
    labels = []
    for path, n in zip(logits.argmax(-1), frames.tolist(), strict=True):
        merged = path[:n].unique_consecutive()
        labels.append(merged[merged != blank].tolist())
    return labels


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The fewest insertions, deletions and replacements that turn a into b (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(diagonal + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def wer(heard: Sequence[Sequence[Hashable]], said: Sequence[Sequence[Hashable]]) -> float:
    """Word error rate: edits in all utterances over words in all; above 1 when more is invented than was said."""
    if len(heard) != len(said):
        raise ValueError(f"{len(heard)} transcripts for {len(said)} utterances")
    return sum(map(edit_distance, heard, said)) / sum(map(len, said))
