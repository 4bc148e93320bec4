"""The instructions compute what they should: products, attention from the two cache layouts, a whole GPT."""

import pytest
import torch

from minilib.attention import attention
from minilib.pim import GPT, TINY, ModelShape, PimGPT
from minilib.pim.commands import Block
from minilib.pim.functional import Device
from minilib.pim.mapping import Matrix, vmm

SHAPE = ModelShape("tiny", 2, 64, 4)


def model(seed=0, context=64):
    torch.manual_seed(seed)
    made = GPT(SHAPE, context=context)
    for p in made.parameters():  # weights as after training: logits that differ
        p.data += 0.08 * torch.randn_like(p) * (p.ndim > 1)
    return made.eval()


@pytest.mark.parametrize(("K", "N"), [(64, 192), (1, 1), (17, 5), (100, 33), (256, 64)])
def test_a_product_equals_the_matrix_product(K, N):
    torch.manual_seed(K)
    W, x = torch.randn(K, N).bfloat16(), torch.randn(K).bfloat16()
    matrix, pim = Matrix(K, N, 0), PimGPT(model())
    pim.device = Device(TINY, matrix.rows(TINY))
    pim.device.read = lambda: exact(pim.device)  # without the rounding to BF16 on the way out
    pim.store(W.float(), matrix, 0)
    got = pim.product(Block("x", list(vmm(matrix, TINY))), x.float(), N, 0)
    want = x.double() @ W.double()
    assert (got - want).abs().max() < 1e-5 * max(1, K**0.5)


def exact(device):
    out, device.accumulator = device.accumulator, torch.zeros_like(device.accumulator)
    return out


def test_results_are_rounded_once_to_bf16():
    device = Device(TINY, 1)
    device.accumulator += 1 + 2**-12
    assert (device.read() == 1).all() and (device.accumulator == 0).all()


def test_attention_from_memory_equals_attention_for_1_to_40_tokens():
    torch.manual_seed(1)
    pim, h, d = PimGPT(model()), SHAPE.heads, SHAPE.d
    k, v, q = (torch.randn(40, d).bfloat16().float() for _ in range(3))
    split = lambda x: x.view(-1, h, d // h).transpose(0, 1)[None]  # noqa: E731  (1, h, T, dh)
    for T in range(1, 41):
        blocks = {block.name: block for block in pim.mapping.layer(T)}
        pim.append(blocks["KV write"], k[T - 1], v[T - 1], 0)
        pim.length = T
        scores = pim.scores(blocks["QK"], q[T - 1], T, 0)
        p = (scores * (d // h) ** -0.5).softmax(-1)
        got = pim.mix(blocks["PV"], p, 0)
        want = attention(split(q[T - 1 : T]), split(k[:T]), split(v[:T]))[0, :, 0].flatten()
        assert (got - want).abs().max() < 0.03, T  # two roundings to BF16 on the way
        assert (scores - (split(q[T - 1 : T]) @ split(k[:T]).mT)[0, :, 0]).abs().max() < 0.05 * scores.abs().max()


def test_what_was_written_to_the_cache_is_read_back():
    torch.manual_seed(2)
    pim, d = PimGPT(model()), SHAPE.d
    written = torch.randn(2, 37, d).bfloat16()
    for t in range(37):
        pim.length = t
        pim.append(pim.mapping.layer(t + 1)[2], written[0, t].float(), written[1, t].float(), pim.mapping.rows)  # second layer
    t, j = torch.meshgrid(torch.arange(37), torch.arange(d), indexing="ij")
    for kind, want in zip("KV", written, strict=True):
        c, b, row, column, lane = (torch.as_tensor(x) for x in pim.mapping.kv_address(kind, t, j))
        assert torch.equal(pim.device.memory[c, b, row + pim.mapping.rows, column, lane], want)


def test_entries_beyond_the_context_change_nothing():
    a, b = PimGPT(model()), PimGPT(model())
    for token in (3, 1, 4):
        a.step(token), b.step(token)
    m = b.mapping
    later = torch.arange(4, 60)  # token 3 will be written by the next step
    for layer in range(2):
        for kind in "KV":
            t, j = torch.meshgrid(later, torch.arange(SHAPE.d), indexing="ij")
            c, bank, row, column, lane = (torch.as_tensor(x) for x in m.kv_address(kind, t, j))
            b.device.memory[c, bank, row + layer * m.rows, column, lane] = 100.0
    assert torch.equal(a.step(5), b.step(5))


def test_a_gpt_on_the_simulator_agrees_with_fp32():
    gpt = model()
    tokens = torch.randint(256, (32,), generator=torch.Generator().manual_seed(3))
    pim = PimGPT(gpt)
    got = torch.stack([pim.step(int(t)) for t in tokens])
    with torch.no_grad():
        want = gpt(tokens[None])[0]
    assert (got - want).abs().max() <= 0.15 * want.std()
    assert (got.argmax(-1) == want.argmax(-1)).float().mean() >= 0.95


def test_it_generates_and_stops_at_the_reserved_context():
    pim = PimGPT(model(context=12))
    out = pim.generate(torch.tensor([1, 2, 3]), 10)
    assert out.shape == (13,) and pim.length == 12
    with pytest.raises(ValueError, match="context of 13 tokens: space is reserved for 1 to 12"):
        pim.step(0)
