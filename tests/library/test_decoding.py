"""Beams against enumeration, trees against their paths, verifiers against plain decoding."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.attention import KVCache
from minilib.decoding import TokenTree, beam_search, rank_options, speculate, tree_logits, verify_drawn, verify_greedy, verify_sample
from minilib.transformer import Decoder, EncoderDecoder, generate

V = 7


@pytest.fixture(scope="module", params=["t5", "rotary"])
def model(request):
    torch.manual_seed(0)
    return Decoder(V, 16, 2, 2, 24, positions=request.param).eval()


def table(seed=0):
    logits = torch.randn(V, V, generator=torch.Generator().manual_seed(seed))
    return lambda sequences: logits[sequences[:, -1]]


def test_a_wide_beam_finds_what_enumeration_finds():
    step, prompt = table(), torch.tensor([2])
    beams, scores = beam_search(step, prompt, width=V**3, length=3)
    logp = step(torch.arange(V)[:, None]).log_softmax(-1)
    want = {
        tail: float(sum(logp[a, b] for a, b in zip((2, *tail[:-1]), tail, strict=True))) for tail in itertools.product(range(V), repeat=3)
    }
    best = max(want, key=want.get)
    assert tuple(beams[0, 1:].tolist()) == best
    for beam, score in zip(beams.tolist(), scores.tolist(), strict=True):
        assert score == pytest.approx(want[tuple(beam[1:])], abs=1e-4)


def test_beam_of_one_is_greedy_and_legal_moves_are_respected():
    step, prompt = table(1), torch.tensor([0])
    greedy, expected = beam_search(step, prompt, width=1, length=5)[0][0].tolist(), [0]
    for _ in range(5):
        expected.append(int(step(torch.tensor([expected])).argmax()))
    assert greedy == expected
    odd = torch.arange(V) % 2 == 1
    beams, _ = beam_search(step, prompt, width=3, length=4, legal=lambda s: odd.expand(len(s), V))
    assert bool((beams[:, 1:] % 2 == 1).all())


def test_an_ended_beam_costs_nothing_more():
    step = lambda s: torch.tensor([0.0, 5.0, 0.0]).expand(len(s), 3)  # noqa: E731
    beams, scores = beam_search(step, torch.tensor([0]), width=2, length=6, stop=1)
    assert beams[0, 1] == 1 and float(scores[0]) == pytest.approx(float(torch.tensor([0.0, 5.0, 0.0]).log_softmax(0)[1]), abs=1e-5)


def test_ranking_equals_scoring_one_option_at_a_time():
    torch.manual_seed(0)
    prompt, options = torch.randint(1, V, (2, 5)), torch.randint(1, V, (2, 3, 4))
    decoder, pair = Decoder(V, 16, 2, 2, 24).eval(), EncoderDecoder(V, 16, 2, 1, 24).eval()
    for two_sided in (False, True):
        got = rank_options(decoder, prompt, options, two_sided=two_sided)
        for b, c in itertools.product(range(2), range(3)):
            tokens = torch.cat([torch.zeros(1, dtype=torch.long), prompt[b], options[b, c]])
            logp = decoder(tokens[None, :-1], prefix=6 if two_sided else 0)[0].log_softmax(-1)
            assert float(got[b, c]) == pytest.approx(float(logp[5:].gather(1, tokens[6:, None]).sum()), abs=1e-4)
    assert rank_options(pair, prompt, options).shape == (2, 3)


trees = st.integers(1, 9).flatmap(lambda n: st.tuples(*[st.integers(0, max(0, i - 1)) for i in range(n)]))


@settings(max_examples=15, deadline=None)
@given(trees, st.integers(0, 4))
def test_tree_logits_equal_those_of_every_path_alone(parents, held):
    torch.manual_seed(1)
    model = Decoder(V, 16, 2, 2, 24, positions="rotary").eval()
    parents = [-1, *parents[1:]]
    tree = TokenTree(parents, torch.randint(V, (len(parents),)))
    text = torch.randint(V, (held,))
    cache = KVCache()
    if held:
        model(text[None], cache=cache)
    got = tree_logits(model, tree, cache)
    for node in range(len(parents)):
        path = tree.path(node)
        want = model(torch.cat([text, tree.tokens[path]])[None])[0, -1]
        torch.testing.assert_close(got[node], want, atol=1e-4, rtol=1e-4)
    assert cache.length == held + len(parents)


def test_mask_is_the_sum_of_powers_of_the_parent_matrix():
    tree = TokenTree([-1, 0, 0, 1, 3, 2], torch.arange(6))
    P = torch.zeros(6, 6)
    for child, parent in enumerate(tree.parents):
        if parent >= 0:
            P[child, parent] = 1
    want = sum(torch.linalg.matrix_power(P, k) for k in range(6))
    assert torch.equal(tree.mask.float(), want) and tree.depth.tolist() == [0, 1, 1, 2, 3, 2]
    assert tree.prune([0, 1, 3, 4]).parents == [-1, 0, 1, 2]


def test_product_tree_has_one_child_for_each_choice():
    tree = TokenTree.product(9, [torch.tensor([1, 2]), torch.tensor([3, 4, 5])])
    assert len(tree.tokens) == 1 + 2 + 6
    assert tree.tokens[tree.children(0)].tolist() == [1, 2] and tree.tokens[tree.children(2)].tolist() == [3, 4, 5]


def drafters(model, text_length):
    """All right, all wrong, and random."""

    def right(tokens):
        ahead = generate(model, tokens[None], 3)[0, len(tokens) :]
        return TokenTree([-1, 0, 1, 2], torch.cat([tokens[-1:], ahead]))

    def wrong(tokens):
        ahead = (generate(model, tokens[None], 3)[0, len(tokens) :] + 1) % V
        return TokenTree([-1, 0, 1, 2], torch.cat([tokens[-1:], ahead]))

    draw = torch.Generator().manual_seed(0)

    def random(tokens):
        return TokenTree.product(int(tokens[-1]), [torch.randperm(V, generator=draw)[:3] for _ in range(2)])

    return {"right": right, "wrong": wrong, "random": random}


@pytest.mark.parametrize("kind", ["right", "wrong", "random"])
def test_speculation_writes_what_greedy_decoding_writes(model, kind):
    prompt, n = torch.tensor([0, 3, 1, 5]), 20
    want = generate(model, prompt[None], n)[0]
    got, passes = speculate(model, prompt, n, drafters(model, 4)[kind])
    assert torch.equal(got, want)
    assert passes == {"right": 5, "wrong": 20}.get(kind, passes) and passes <= n


def test_verify_greedy_takes_the_bonus_token_and_only_children_of_accepted_nodes():
    tree = TokenTree([-1, 0, 0, 2], torch.tensor([0, 1, 2, 3]))
    logits = torch.zeros(4, 5)
    logits[0, 2], logits[2, 3], logits[3, 4] = 1, 1, 1
    assert verify_greedy(tree, logits) == ([2, 3, 4], [0, 2, 3])
    logits[0, 2], logits[0, 4] = 0, 1
    assert verify_greedy(tree, logits) == ([4], [0])


def total_variation(counts, p):
    return float((counts / counts.sum() - p).abs().sum() / 2)


def test_sampling_verifiers_keep_the_distribution():
    draw = torch.Generator().manual_seed(0)
    p, q = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05]), torch.tensor([0.1, 0.1, 0.2, 0.3, 0.3])
    given_, one, two = torch.zeros(5), torch.zeros(5), torch.zeros(5)
    tree = TokenTree([-1, 0, 0], torch.tensor([0, 3, 4]))
    for _ in range(20_000):
        given_[verify_sample(tree, p.expand(3, 5), draw)[0][0]] += 1
        drafts = torch.multinomial(q, 2, replacement=True, generator=draw).tolist()
        one[verify_drawn(p, q, drafts[:1], draw)[0]] += 1
        two[verify_drawn(p, q, drafts, draw)[0]] += 1
    for counts in (given_, one, two):
        assert total_variation(counts, p) < 0.02


def test_drafts_drawn_from_the_target_are_always_accepted():
    p = torch.tensor([0.4, 0.35, 0.25])
    draw = torch.Generator().manual_seed(0)
    assert all(verify_drawn(p, p, [int(torch.multinomial(p, 1, generator=draw))], draw)[1] == 0 for _ in range(300))
