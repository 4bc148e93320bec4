"""Kernels side by side with their peers, in one run on one thread: ``python benchmarks/kernels.py [--only WORD] [--write]``.

Every row calls ours and theirs in turns and compares medians of CPU time, so that a slow moment of the machine meets both. Outputs are
compared before anything is timed. ``--write`` renews ``benchmarks/results.md``. Peers come with the extra ``bench``.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from minilib.attention import attention, window_visibility
from minilib.count import bench
from minilib.kernels.cross_entropy import linear_cross_entropy
from minilib.kernels.grouped_matmul import combine, grouped_matmul, sort_by_expert
from minilib.kernels.monarch import monarch
from minilib.kernels.rnnt import rnnt_loss
from minilib.kernels.selective_scan import selective_scan
from minilib.kernels.window_attention import window_attention
from minilib.ssm import Mamba
from minilib.transformer import Stack

torch.set_num_threads(1)
HERE = Path(__file__).parent


@dataclass
class Row:
    """One comparison: ratio = theirs / ours of ``measure`` (seconds, or bytes at the peak)."""

    what: str
    against: str
    shapes: str
    ours: Callable
    theirs: Callable
    aim: float
    repeats: int = 9
    measure: str = "seconds"


def train(module: Callable, *inputs: Tensor) -> Callable:
    """One forward and backward pass."""

    def step() -> None:
        for x in inputs:
            x.grad = None
        out = module(*inputs)
        (out[0] if isinstance(out, tuple) else out).square().mean().backward()

    return step


def same(ours: Tensor, theirs: Tensor, tolerance: float = 1e-3) -> None:
    worst = float((ours - theirs).abs().max())
    if not worst < tolerance * max(1.0, float(theirs.abs().max())):
        raise SystemExit(f"the outputs differ by {worst:.2g}: this comparison would mean nothing")


def leaf(*shape: int) -> Tensor:
    return torch.randn(*shape).requires_grad_()


# ---------------------------------------------------------------------------------------------------------------- state spaces


def scans() -> Iterator[Row]:
    from mambapy.pscan import pscan

    B, D, N = 4, 128, 16
    for L, aims in ((256, (2.5, 10)), (1024, (2.5, 10))):
        u, b, c, skip = leaf(B, L, D), leaf(B, L, N), leaf(B, L, N), leaf(D)
        delta, A = (F.softplus(torch.randn(B, L, D) - 3)).requires_grad_(), (-torch.rand(D, N) - 0.5).requires_grad_()

        def theirs(u, delta, A, b, c, skip):
            h = pscan(torch.exp(delta.unsqueeze(-1) * A), (delta.unsqueeze(-1) * b.unsqueeze(2)) * u.unsqueeze(-1))
            return (h @ c.unsqueeze(-1)).squeeze(3) + skip * u

        slow = 1 if L > 256 else 3  # repeats of what takes half a minute

        def loop(u, delta, A, b, c, skip):
            a, x = torch.exp(delta.unsqueeze(-1) * A), (delta.unsqueeze(-1) * b.unsqueeze(2)) * u.unsqueeze(-1)
            h, ys = u.new_zeros(B, D, N), []
            for t in range(u.shape[1]):
                h = a[:, t] * h + x[:, t]
                ys.append((h * c[:, t, None]).sum(-1))
            return torch.stack(ys, 1) + skip * u

        inputs = (u, delta, A, b, c, skip)
        same(selective_scan(*inputs), theirs(*inputs))
        same(selective_scan(*inputs), loop(*inputs))
        shapes = f"B {B}, D {D}, N {N}, L {L}, forward and backward"
        yield Row("selective scan", "mambapy, parallel scan", shapes, train(selective_scan, *inputs), train(theirs, *inputs), aims[0])
        yield Row("selective scan", "the loop under autograd", shapes, train(selective_scan, *inputs), train(loop, *inputs), aims[1], slow)


def mamba_blocks() -> Iterator[Row]:
    from mambapy.mamba import MambaBlock
    from mambapy.mamba import MambaConfig as Theirs
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    for L in (256, 1024):
        x = leaf(4, L, 64)
        ours = Mamba(64, 16)
        peer = MambaBlock(Theirs(d_model=64, n_layers=1, d_state=16))
        config = MambaConfig(hidden_size=64, state_size=16, num_hidden_layers=1, vocab_size=8, time_step_rank=4)
        hf = MambaMixer(config, 0)
        for mine, theirs in ((peer, ours), (hf, ours)):
            mine.load_state_dict(theirs.state_dict())
        same(ours(x), peer(x))
        same(ours(x), hf(x))
        shapes = f"B 4, width 64 (D 128), N 16, L {L}, training step"
        yield Row("Mamba block", "mambapy", shapes, train(ours, x), train(peer, x), 2)
        yield Row("Mamba block", "transformers, slow path", shapes, train(ours, x), train(hf, x), 3, 1 if L > 256 else 3)


# ------------------------------------------------------------------------------------------------------------------- attention


def windows() -> Iterator[Row]:
    from local_attention import LocalAttention

    L, w = 4096, 64
    q, k, v = leaf(1, 4, L, 32), leaf(1, 4, L, 32), leaf(1, 4, L, 32)
    peer = LocalAttention(w, causal=True, look_backward=1, use_rotary_pos_emb=False, exact_windowsize=True)
    mask = window_visibility(L, w)
    same(window_attention(q, k, v, w + 1), peer(q, k, v))  # theirs counts w positions besides the own one
    same(window_attention(q, k, v, w), attention(q, k, v, mask))
    shapes = f"L {L}, window {w}, 4 heads of 32, forward and backward"
    ours = train(lambda *x: window_attention(*x, w), q, k, v)
    yield Row("sliding window", "local-attention", shapes, ours, train(peer, q, k, v), 1.0)
    yield Row("sliding window", "full SDPA with a band mask", shapes, ours, train(lambda *x: attention(*x, mask), q, k, v), 5.0, 3)


def causal() -> Iterator[Row]:
    q, k, v = leaf(1, 4, 1024, 32), leaf(1, 4, 1024, 32), leaf(1, 4, 1024, 32)
    theirs = lambda *x: F.scaled_dot_product_attention(*x, is_causal=True)  # noqa: E731
    ours = lambda *x: attention(*x, causal=True)  # noqa: E731
    same(ours(q, k, v), theirs(q, k, v))
    yield Row(
        "causal attention", "SDPA", "L 1024, 4 heads of 32, forward and backward", train(ours, q, k, v), train(theirs, q, k, v), 0.97, 25
    )


class PlainBlock(nn.Module):
    """A GPT-2 block as it is usually written: LayerNorm, fused qkv, GELU, biases."""

    def __init__(self, d: int, heads: int):
        super().__init__()
        self.n1, self.qkv, self.out, self.heads = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d), heads
        self.n2, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.qkv(self.n1(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.n2(x))))


def decoders() -> Iterator[Row]:
    d, heads, layers, L, B = 128, 4, 4, 128, 16
    x = leaf(B, L, d)
    ours = Stack(d, heads, layers, 4 * d, positions="none", kind="gelu")
    layer = nn.TransformerEncoderLayer(d, heads, 4 * d, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    peer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    mask = nn.Transformer.generate_square_subsequent_mask(L)
    gpt = nn.Sequential(*[PlainBlock(d, heads) for _ in range(layers)])
    shapes = f"d {d}, {layers} layers, L {L}, batch {B}, training step"
    yield Row("decoder", "nn.TransformerEncoderLayer", shapes, train(ours, x), train(lambda x: peer(x, mask=mask, is_causal=True), x), 1.0)
    yield Row("decoder", "a plain GPT-2 block", shapes, train(ours, x), train(gpt, x), 1.0)


# ------------------------------------------------------------------------------------------------------------- experts, factors


def experts() -> Iterator[Row]:
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts

    T, k, E, d, f = 4096, 2, 8, 128, 256
    config = MixtralConfig(hidden_size=d, intermediate_size=f, num_local_experts=E, num_experts_per_tok=k)
    config._experts_implementation = "eager"
    peer = MixtralExperts(config)
    nn.init.normal_(peer.gate_up_proj, std=0.05)
    nn.init.normal_(peer.down_proj, std=0.05)
    x, index, gate = leaf(T, d), torch.stack([torch.randperm(E)[:k] for _ in range(T)]), torch.rand(T, k)

    def ours(x):
        token, choice, counts = sort_by_expert(index, E)
        a, b = grouped_matmul(x[token], peer.gate_up_proj.transpose(1, 2), counts).chunk(2, dim=-1)
        return combine(grouped_matmul(F.silu(a) * b, peer.down_proj.transpose(1, 2), counts), token, choice, gate)

    same(ours(x), peer(x, index, gate))
    shapes = f"{E} experts, top-{k}, {T} tokens, d {d}, forward and backward"
    yield Row("expert dispatch", "transformers, Mixtral's loop", shapes, train(ours, x), train(lambda x: peer(x, index, gate), x), 1.3)


def monarchs() -> Iterator[Row]:
    b, n = 64, 4096
    x, L, R, dense = leaf(64, n), leaf(b, b, b), leaf(b, b, b), nn.Linear(n, n, bias=False)
    shapes = f"n {n}, 64 vectors, forward and backward"
    yield Row("Monarch product", "nn.Linear", shapes, train(lambda x: monarch(x, L, R), x), train(dense, x), 4, 3)


def heads() -> Iterator[Row]:
    n, V, d = 2048, 32_000, 256
    x, W, y = leaf(n, d), (torch.randn(V, d) * 0.05).requires_grad_(), torch.randint(V, (n,))
    plain = lambda x, W: F.cross_entropy(x @ W.T, y)  # noqa: E731
    ours = lambda x, W: linear_cross_entropy(x, W, y)  # noqa: E731
    same(ours(x, W), plain(x, W))
    shapes = f"V {V:,}, {n} tokens, d {d}, forward and backward"

    def step(f):
        def run():
            x.grad = W.grad = None
            f(x, W).backward()

        return run

    yield Row("linear + cross-entropy", "F.cross_entropy(x Wᵀ)", shapes, step(ours), step(plain), 1 / 1.3, 3)
    yield Row("linear + cross-entropy", "F.cross_entropy(x Wᵀ)", shapes, step(ours), step(plain), 5, 1, "peak bytes")


def transducers() -> Iterator[Row]:
    B, T, U, V = 4, 100, 20, 64
    logits, y = leaf(B, T, U + 1, V), torch.randint(1, V, (B, U))
    frames, labels = torch.full((B,), T), torch.full((B,), U)
    loss = lambda form: lambda z: rnnt_loss(z.log_softmax(-1), y, frames, labels, backend=form)  # noqa: E731
    same(loss("fast")(logits), loss("reference")(logits))
    shapes = f"B {B}, T {T}, U {U}, V {V}, forward and backward"
    yield Row("RNN-T loss", "double loop under autograd", shapes, train(loss("fast"), logits), train(loss("reference"), logits), 20, 3)
    if importlib.util.find_spec("torchaudio"):
        from torchaudio.functional import rnnt_loss as peer

        theirs = lambda z: peer(z, y.int(), frames.int(), labels.int(), blank=0, reduction="none")  # noqa: E731
        yield Row("RNN-T loss", "torchaudio", shapes, train(loss("fast"), logits), train(theirs, logits), 0.5)


GROUPS = [scans, mamba_blocks, windows, causal, decoders, experts, monarchs, heads, transducers]

# --------------------------------------------------------------------------------------------------------- measuring and the table


def peak_bytes(step: Callable) -> int:
    """The most that was allocated at once beyond what was there before, from the profiler's record of every allocation."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    now = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


def measure(row: Row) -> tuple[float, float]:
    if row.measure == "peak bytes":
        for step in (row.ours, row.theirs):
            step()
        return float(peak_bytes(row.ours)), float(peak_bytes(row.theirs))
    times = bench(row.repeats, ours=row.ours, theirs=row.theirs)
    return times["ours"], times["theirs"]


def growth(folder: Path) -> dict[str, float]:
    """Seconds of every scan and attention form over L = 2^8 … 2^13, in one plot, with the fitted exponent of L."""
    from minilib import show

    lengths = [2**p for p in range(8, 14)]

    def inputs(L):
        return torch.randn(1, L, 32), torch.rand(1, L, 32) * 0.1, -torch.rand(32, 8) - 0.5, torch.randn(1, L, 8), torch.randn(1, L, 8)

    forms: dict[str, Callable] = {
        f"scan, {method}": (lambda m: lambda L: (lambda x: lambda: selective_scan(*x, method=m))(inputs(L)))(method)
        for method in ("sequential", "associative", "chunked")
    }
    heads_ = lambda L: [torch.randn(1, 2, L, 16) for _ in range(3)]  # noqa: E731
    forms["attention, written out"] = lambda L: (lambda x: lambda: attention(*x, causal=True, keep=[]))(heads_(L))
    forms["attention, fused"] = lambda L: (lambda x: lambda: attention(*x, causal=True))(heads_(L))
    forms["attention, window 64"] = lambda L: (lambda x: lambda: window_attention(*x, 64))(heads_(L))
    seconds: dict[str, list[float]] = {}
    with torch.no_grad():
        for name, make in track(forms.items(), "cost against length", transient=True):
            seconds[name] = [bench(5, it=make(L))["it"] for L in lengths]
    fig, ax = show.figure(1, 1, width=6.4, height=4.2, title="Cost against length, one CPU thread")
    slopes = {}
    for number, (name, values) in enumerate(seconds.items()):
        upper = slice(2, None)  # fixed costs hide the growth at the short end
        x, y = torch.tensor(lengths[upper]).log(), torch.tensor(values[upper]).log()
        slopes[name] = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).pow(2).sum())
        style = ["-", "--"][number // 3]
        ax.loglog(lengths, values, style, marker="o", color=show.COLOURS[number], label=f"{name}: L^{slopes[name]:.2f}")
    ax.set(xlabel="length L (tokens)", ylabel="seconds a forward pass")
    ax.legend(fontsize=8)
    fig.savefig(folder / "growth.png")
    return slopes


def machine() -> str:
    versions = {}
    for name in ("torch", "mambapy", "transformers", "local-attention", "torchaudio"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    cpu = subprocess.run(["sh", "-c", "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2"], capture_output=True, text=True).stdout.strip()
    return f"{cpu or platform.processor() or platform.machine()}, one thread, Python {platform.python_version()}; " + ", ".join(
        f"{name} {version}" for name, version in versions.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only the groups whose name holds this word: " + ", ".join(g.__name__ for g in GROUPS))
    parser.add_argument("--write", action="store_true", help="renew benchmarks/results.md and benchmarks/growth.png")
    options = parser.parse_args()
    console, table = Console(width=150), Table("what", "against", "shapes", "ours", "theirs", "ratio", "aim", "")
    lines = ["| what | against | shapes | ours | theirs | ratio | aim | |", "|---|---|---|---|---|---|---|---|"]
    for group in GROUPS:
        if options.only not in group.__name__:
            continue
        torch.manual_seed(0)
        try:
            for row in group():
                ours, theirs = measure(row)
                form = (lambda x: f"{x / 2**20:.0f} MiB") if row.measure == "peak bytes" else (lambda x: f"{1e3 * x:.2f} ms")
                met = "met" if theirs / ours >= row.aim else "missed"
                cells = [row.what, row.against, row.shapes, form(ours), form(theirs), f"{theirs / ours:.2f}", f"≥ {row.aim:.2f}", met]
                table.add_row(*cells)
                lines.append("| " + " | ".join(cells) + " |")
                console.print(f"{row.what} against {row.against}: {theirs / ours:.2f}", style="dim")
        except ModuleNotFoundError as missing:
            console.print(f"{group.__name__}: {missing.name} is not installed (pip install -e .[bench])")
    console.print(table)
    if options.write:
        slopes = growth(HERE)
        text = [
            "# Kernels beside their peers",
            "",
            "Written by `make bench`. Ratio: theirs / ours; medians of CPU time in one run, or peak bytes.",
            "",
            machine(), "", *lines, "", "## Cost against length", "", "![Seconds a forward pass against length, log-log](growth.png)", "",
            "| form | seconds grow as |", "|---|---|", *[f"| {name} | L^{slope:.2f} |" for name, slope in slopes.items()], "",
        ]  # fmt: skip
        (HERE / "results.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
