"""minilib.transformer: what may move what, what the cache keeps, and how text is generated."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.attention import KVCache, visibility
from minilib.count import parameters
from minilib.objectives import shift_right
from minilib.transformer import Block, Decoder, EncoderDecoder, Stack, generate, greedy, sampler

few = settings(max_examples=15, deadline=None)
V, D = 13, 8
positions = st.sampled_from(["t5", "rotary"])


def decoder(seed: int = 0, **options) -> Decoder:
    torch.manual_seed(seed)
    return Decoder(V, D, 2, 2, 12, **options).eval()


def encoder_decoder(seed: int = 0) -> EncoderDecoder:
    torch.manual_seed(seed)
    return EncoderDecoder(V, D, 2, 2, 12).eval()


def tokens(seed: int, B: int, T: int) -> torch.Tensor:
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def moves(f, T: int) -> torch.Tensor:
    """Does output i move when input j moves? f maps (B, T, D) to (B, T, …); rows are outputs."""
    x = torch.randn(T, D, generator=torch.Generator().manual_seed(1))
    out = f(torch.cat([x + torch.eye(T)[:, :, None], x[None]]))
    return ((out[:-1] - out[-1]).abs().amax(-1) > 1e-6).T


# ------------------------------------------------------------------------------------------------------------------ who moves whom


@few
@given(T=st.integers(2, 8), P=st.integers(0, 8), kind=positions)
def test_an_output_moves_with_what_its_mask_shows_and_nothing_else(T, P, kind):
    P = min(P, T)
    assert torch.equal(moves(lambda x: decoder(positions=kind).stack(x, prefix=P), T), visibility(T, P))


@few
@given(T=st.integers(2, 7), seed=st.integers(0, 20))
def test_a_changed_token_leaves_the_logits_before_it_bit_for_bit(T, seed):
    model, u = decoder(seed), tokens(seed, 2, T)
    for j in range(1, T):
        changed = u.clone()
        changed[:, j] = (changed[:, j] + 1) % V
        assert torch.equal(model(changed)[:, :j], model(u)[:, :j])


def test_a_given_mask_replaces_the_one_made_from_the_prefix():
    model, u = decoder(), tokens(0, 2, 5)
    torch.testing.assert_close(model(u, mask=visibility(5, 3)), model(u, prefix=3))
    torch.testing.assert_close(model(u, mask=visibility(5)), model(u))
    torch.testing.assert_close(model(u, prefix=1), model(u, prefix=0))


def test_the_weights_of_a_causal_model_serve_every_prefix():
    causal, other = decoder(0), decoder(1)
    other.load_state_dict(causal.state_dict(), strict=True)
    assert torch.equal(other(tokens(0, 1, 6), prefix=4), causal(tokens(0, 1, 6), prefix=4))


def test_without_positions_a_bidirectional_stack_is_blind_to_order():
    stack, x, order = Stack(D, 2, 2, 12, positions="none"), torch.randn(1, 6, D), torch.tensor([3, 1, 5, 0, 4, 2])
    torch.testing.assert_close(stack(x[:, order], prefix=6), stack(x, prefix=6)[:, order])
    for kind in ("t5", "rotary"):
        stack = Stack(D, 2, 2, 12, positions=kind)
        assert not torch.allclose(stack(x[:, order], prefix=6), stack(x, prefix=6)[:, order], atol=1e-3)


def test_only_distances_count():
    for kind in ("t5", "rotary"):
        model, u, later = decoder(positions=kind), tokens(0, 2, 6), torch.arange(6) + 9
        torch.testing.assert_close(model(u, positions=later), model(u), atol=1e-4, rtol=1e-4)


def test_unknown_positions_are_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="t5, rotary or none"):
        Stack(D, 2, 1, 12, positions="sines")


# ------------------------------------------------------------------------------------------------------------------------ counts


def test_the_parameters_are_where_they_are_expected():
    model = Decoder(V, D, 2, 3, 12)
    assert parameters(model) == V * D + 3 * (4 * D**2 + 3 * D * 12 + 2 * D) + D + 32 * 2
    both = EncoderDecoder(V, D, 2, 3, 12)
    assert parameters(both) == V * D + 2 * (3 * (4 * D**2 + 3 * D * 12 + 2 * D) + D + 32 * 2) + 3 * (4 * D**2 + D)


def test_a_block_that_adds_nothing_passes_its_input_through():
    block, x = Block(D, 2, 12, cross=True), torch.randn(2, 5, D)
    for linear in (block.attention.out, block.cross.out, block.mlp.down):
        linear.weight.data.zero_()
    assert torch.equal(block(x, torch.randn(2, 3, D)), x)


def test_the_tied_head_uses_the_embedding():
    model, x = decoder(), torch.randn(1, 2, D)
    torch.testing.assert_close(model.embed.logits(x), x @ model.embed.weight.T / D**0.5)
    torch.testing.assert_close(model(tokens(0, 1, 3)), model.embed.logits(model.hidden(tokens(0, 1, 3))))


# ------------------------------------------------------------------------------------------------------------------------- cache


@few
@given(cuts=st.lists(st.integers(1, 3), min_size=1, max_size=4), kind=positions, kv_heads=st.sampled_from([1, 2]))
def test_a_causal_model_reads_in_pieces_what_it_reads_at_once(cuts, kind, kv_heads):
    model, T, cache, at, parts = decoder(positions=kind, kv_heads=kv_heads), sum(cuts), KVCache(), 0, []
    u = tokens(3, 2, T)
    for n in cuts:
        parts.append(model(u[:, at : at + n], cache=cache))
        at += n
    torch.testing.assert_close(torch.cat(parts, dim=1), model(u), atol=1e-5, rtol=1e-4)


@few
@given(P=st.integers(1, 5), rest=st.integers(1, 4), kind=positions)
def test_a_prefix_model_reads_its_prefix_in_one_go_and_the_rest_token_by_token(P, rest, kind):
    model, u, cache = decoder(positions=kind), tokens(4, 2, P + rest), KVCache()
    parts = [model(u[:, :P], prefix=P, cache=cache)]
    parts += [model(u[:, t : t + 1], prefix=P, cache=cache) for t in range(P, P + rest)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(u, prefix=P), atol=1e-5, rtol=1e-4)


def test_keep_records_the_weights_of_every_layer_and_changes_nothing():
    model, u = decoder(), tokens(0, 2, 5)
    seen: list[torch.Tensor] = []
    torch.testing.assert_close(model(u, keep=seen), model(u))
    assert [tuple(w.shape) for w in seen] == [(2, 2, 5, 5)] * 2
    assert all(torch.equal(w > 0, visibility(5).expand_as(w)) for w in seen)


# ------------------------------------------------------------------------------------------------------------ encoder and decoder


def test_every_source_token_moves_every_target_and_no_target_moves_an_earlier_one():
    model, source, target = encoder_decoder(), tokens(5, 2, 4), tokens(6, 2, 5)
    out = model(source, target)
    for j in range(4):
        other = source.clone()
        other[:, j] = (other[:, j] + 1) % V
        assert bool(((model(other, target) - out).abs().amax((0, 2)) > 1e-6).all())
    for j in range(5):
        other = target.clone()
        other[:, j] = (other[:, j] + 1) % V
        assert torch.equal(model(source, other)[:, :j], out[:, :j])


def test_padding_in_the_source_is_not_seen():
    model, source, target = encoder_decoder(), tokens(5, 1, 6), tokens(6, 1, 3)
    real = torch.tensor([[True, True, True, True, False, False]])
    other = source.clone()
    other[:, 4:] = (other[:, 4:] + 1) % V
    torch.testing.assert_close(model(source, target, real=real), model(other, target, real=real))
    torch.testing.assert_close(model(source, target, real=real), model(source[:, :4], target), atol=1e-5, rtol=1e-4)


def test_the_decoder_of_an_encoder_decoder_reads_with_a_cache_what_it_reads_at_once():
    model, source, target = encoder_decoder(), tokens(5, 2, 4), tokens(6, 2, 6)
    memory, cache, cross = model.encode(source), KVCache(), KVCache()
    parts = [model.decode(target[:, t : t + 1], memory, cache=cache, cross_cache=cross) for t in range(6)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(source, target), atol=1e-5, rtol=1e-4)
    assert cache.length == 6 and cross.length == 4


# ---------------------------------------------------------------------------------------------------------------------- generation


@few
@given(T=st.integers(1, 4), n=st.integers(0, 5), prefix=st.booleans())
def test_greedy_generation_equals_asking_again_from_the_start(T, n, prefix):
    model, prompt = decoder(), tokens(7, 2, T)
    P = T if prefix else 0
    want = prompt
    for _ in range(n):
        want = torch.cat([want, model(want, prefix=P)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(generate(model, prompt, n, prefix=P), want)


def test_an_encoder_decoder_generates_from_its_source_and_needs_one():
    model, source, start = encoder_decoder(), tokens(5, 2, 4), torch.zeros(2, 1, dtype=torch.long)
    want = start
    for _ in range(5):
        want = torch.cat([want, model(source, want)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(generate(model, start, 5, source=source), want)
    with pytest.raises(ValueError, match="source"):
        generate(model, start, 5)


def test_rows_that_have_ended_are_filled_and_all_ended_stops():
    model = decoder()
    free = generate(model, tokens(8, 3, 2), 8)
    stop = int(free[0, 3])  # a token that row 0 produces as its second
    out = generate(model, tokens(8, 3, 2), 8, stop=stop)
    for row, unstopped in zip(out, free, strict=True):
        new = unstopped[2:].tolist()
        end = new.index(stop) if stop in new else len(new)
        kept = out.shape[1] - 2
        assert row[2:].tolist() == (new[: end + 1] + [stop] * kept)[:kept]


def test_a_sampler_follows_the_softmax_and_its_limits():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).expand(4000, 4)
    g = torch.Generator().manual_seed(0)
    shares = sampler(g)(logits).bincount(minlength=4) / 4000
    torch.testing.assert_close(shares, logits[0].softmax(-1), atol=0.03, rtol=0)
    hot = sampler(g, temperature=2.0)(logits).bincount(minlength=4) / 4000
    torch.testing.assert_close(hot, (logits[0] / 2).softmax(-1), atol=0.03, rtol=0)
    assert set(sampler(g, top_k=2)(logits).tolist()) == {0, 1}
    assert torch.equal(sampler(g, top_k=1)(logits), greedy(logits))


def test_the_same_generator_writes_the_same_text():
    model, prompt = decoder(), shift_right(tokens(9, 2, 3))
    first, again = (generate(model, prompt, 6, pick=sampler(torch.Generator().manual_seed(3))) for _ in range(2))
    assert torch.equal(first, again)
