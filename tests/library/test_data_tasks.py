"""Made tasks against slow solutions of the same tasks, one example at a time."""

import itertools
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.data import rasp
from minilib.data.pendulum import FACTORS, do, pendulum, render, standardise
from minilib.data.programs import (
    VOCABULARY,
    encode,
    environments,
    evaluate,
    expressions,
    infix,
    make_tests,
    parse,
    prefix,
    random_tree,
    run_tests,
    variant,
)
from minilib.data.puzzles import candidates, grids, solve, sudoku
from minilib.data.reading import chain_qa, recall_task
from minilib.data.source import MODULES, module_source, stdlib_modules
from minilib.data.spelling import PAD, SPACE, spell_out


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------------------------------------------ reading


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from(["random", "forward", "backward", "all_forward"]), st.integers(0, 99))
def test_following_the_documents_gives_the_answer(chains, hops, order, seed):
    documents, question, answer, gold = chain_qa(draw(seed), 9, chains, hops, order)
    assert documents.shape == (9, chains * hops, 2)
    for d, (at, h), want, g in zip(documents.tolist(), question.tolist(), answer.tolist(), gold.tolist(), strict=True):
        step = dict(d)
        assert len(step) == len(d) and len(set(itertools.chain(*d))) == chains * (hops + 1), "chains are disjoint"
        assert d[g[0]][0] == at
        for k in range(h):
            assert d[g[k]] == [at, step[at]]
            at = step[at]
        assert at == want
        if order == "backward":
            assert g == sorted(g, reverse=True)
        elif order != "random":
            assert g == sorted(g)
        if order == "all_forward":
            place = {s: i for i, (s, _) in enumerate(d)}
            assert all(place[o] > place[s] for s, o in d if o in place)


def test_forward_and_backward_differ_in_the_gold_documents_only():
    forward, backward = (chain_qa(draw(3), 50, order=order) for order in ("forward", "backward"))
    assert torch.equal(forward[3], backward[3].flip(1)) and torch.equal(forward[2], backward[2])
    other = torch.ones(50, 6, dtype=torch.bool).scatter(1, forward[3], False)
    assert torch.equal(forward[0][other], backward[0][other])
    with pytest.raises(ValueError, match="11 chains of 3 need 33 entities"):
        chain_qa(draw(), 1, 11)
    with pytest.raises(ValueError, match="unknown order 'sorted'"):
        chain_qa(draw(), 1, order="sorted")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(0, 9), st.integers(1, 3), st.integers(0, 99))
def test_recall_targets_follow_from_the_bindings(repeats, filler, hops, seed):
    K = 5
    tokens, target = recall_task(draw(seed), 6, K, K, K * repeats, filler, 8, hops)
    assert tokens.shape == (6, K * repeats + filler + 8, 2)
    for row, want in zip(tokens.tolist(), target.tolist(), strict=True):
        bound, noise, asked = row[: K * repeats], row[K * repeats : -8], row[-8:]
        value = dict(bound)
        assert Counter(k for k, _ in bound) == {k: repeats for k in range(K)} and all([k, value[k]] in bound for k, _ in bound)
        assert all(k == K and v < K for k, v in noise)
        for (k, mark), w in zip(asked, want, strict=True):
            assert 1 <= mark - K + 1 <= hops
            for _ in range(mark - K + 1):
                k = value[k]
            assert k == w


def test_two_hop_recall_asks_both_kinds_and_refuses_what_has_no_answer():
    tokens, _ = recall_task(draw(), 200, 8, 8, 16, 0, 32, 2)
    assert float((tokens[:, -32:, 1] == 9).float().mean()) == pytest.approx(0.7, abs=0.02)
    with pytest.raises(ValueError, match="16 bindings are no multiple of 5 keys"):
        recall_task(draw(), 1, 5, 5, 16)
    with pytest.raises(ValueError, match="must be equal"):
        recall_task(draw(), 1, 8, 4, 16, hops=2)


# --------------------------------------------------------------------------------------------------------------------------- rasp


def slow(name, tokens):
    """Labels of one sequence without padding, from its text."""
    body = tokens[1:-1] if name in ("reverse", "sort") else tokens[1:]
    count = Counter(body)
    if name == "reverse":
        return [0, *body[::-1], 0]
    if name == "sort":
        return [0, *sorted(body), 0]
    if name == "hist":
        return [0, *(count[t] for t in body)]
    if name == "double_hist":
        return [0, *(list(count.values()).count(count[t]) for t in body)]
    if name == "most_freq":
        ranked = sorted(count, key=lambda t: (-count[t], body.index(t)))
        return [0, *ranked, *[0] * (len(body) - len(ranked))]
    if name == "induction":
        last, labels = {}, [0]
        for i, t in enumerate(body):
            labels.append(last.get(t, rasp.UNKNOWN) if i % 2 == 0 else 0)
            if i % 2 == 0 and i + 1 < len(body):
                last[t] = body[i + 1]
        return labels
    open_, labels, failed = [], [0], False
    for t in body:
        if t % 2 == 0:
            open_.append(t)
        else:
            failed |= not open_ or open_.pop() != t - 1
        labels.append(rasp.FAILED if failed else rasp.POSSIBLE if open_ else rasp.BALANCED)
    return labels


@pytest.mark.parametrize("name", rasp.TASKS)
@pytest.mark.parametrize(("N", "V"), [(4, 6), (8, 8), (10, 10), (16, 8)])
def test_rasp_labels_equal_those_of_a_slow_program(name, N, V):
    X, Y = rasp.rasp_task(name, 200, N, V, seed=1)
    assert X.shape == Y.shape == (200, N) and bool((X[:, 0] == rasp.BOS).all()) and int(X.max()) < V
    for x, y in zip(X.tolist(), Y.tolist(), strict=True):
        tokens = x[: x.index(rasp.PAD)] if rasp.PAD in x else x
        assert y == slow(name, tokens) + [0] * (N - len(tokens)), tokens
    again, _ = rasp.rasp_task(name, 200, N, V, seed=1)
    assert torch.equal(X, again)


def test_dyck_has_all_labels_and_rasp_names_are_checked():
    _, Y = rasp.rasp_task("dyck2", 2000, 16)
    shares = torch.bincount(Y[:, 1:].flatten(), minlength=4) / Y[:, 1:].numel()
    assert float(shares[0]) == 0 and float(shares[1:].min()) > 0.05
    with pytest.raises(ValueError, match="unknown task 'shuffle'; choose one of reverse"):
        rasp.rasp_task("shuffle", 1)
    with pytest.raises(ValueError, match="N of at least 4"):
        rasp.rasp_task("hist", 1, 3)


# ------------------------------------------------------------------------------------------------------------------------ puzzles


def peers(i, n, h, w):
    r, c = divmod(i, n)
    return {
        j for j in range(n * n) if j != i and (j // n == r or j % n == c or (j // n // h, j % n // w) == (r // h, c // w))
    }  # fmt: skip


def slow_candidates(board, n, h, w):
    return [set() if v >= 0 else set(range(n)) - {board[j] for j in peers(i, n, h, w)} for i, v in enumerate(board)]


BOX = {4: (2, 2), 6: (2, 3), 9: (3, 3)}


@pytest.mark.parametrize("n", [4, 6, 9])
@pytest.mark.parametrize("split", ["train", "test"])
def test_grids_are_solved_and_their_candidates_are_what_a_loop_finds(n, split):
    G = grids(draw(), 12, n, split)
    board = torch.where(torch.rand(12, n * n, generator=draw(1)) < 0.4, G, -1)
    for grid, given_, got in zip(G.tolist(), board.tolist(), candidates(board, n), strict=True):
        for i, v in enumerate(grid):
            assert v not in {grid[j] for j in peers(i, n, *BOX[n])}
        assert [set(row.nonzero().flatten().tolist()) for row in got] == slow_candidates(given_, n, *BOX[n])
    assert not bool(candidates(G, n).any())
    with pytest.raises(ValueError, match="the side n must be 4, 6 or 9, got 5"):
        candidates(torch.zeros(1, 25, dtype=torch.long), 5)


def renamed(grid, n):
    return tuple(grid[:n].index(v) for v in grid)


@pytest.mark.parametrize("n", [4, 6])
def test_no_grid_for_testing_is_a_renamed_grid_for_training(n):
    train, test = ({renamed(grid, n) for grid in grids(draw(), 3000, n, split).tolist()} for split in ("train", "test"))
    assert not train & test
    if n == 4:
        assert len(train) == 9 and len(test) == 3
        assert len({tuple(g) for g in grids(draw(), 3000, 4, "train").tolist()}) == 216
    with pytest.raises(ValueError, match="unknown split"):
        grids(draw(), 1, 4, "dev")


@pytest.mark.parametrize(("n", "givens", "hidden"), [(4, 6, False), (6, 18, True), (9, 40, True)])
def test_the_solver_writes_only_what_can_be_decided(n, givens, hidden):
    puzzles = sudoku(draw(), 5, n, givens, hidden=hidden)
    for grid, given_, order in zip(puzzles.solution.tolist(), puzzles.given.tolist(), puzzles.order.tolist(), strict=True):
        board = [v if g else -1 for v, g in zip(grid, given_, strict=True)]
        assert sorted(order) == list(range(n * n)) and all(given_[c] for c in order[:givens])
        for cell in order[givens:]:
            may = slow_candidates(board, n, *BOX[n])
            (r, c), (h, w) = divmod(cell, n), BOX[n]
            units = [
                [j for j in range(n * n) if j // n == r],
                [j for j in range(n * n) if j % n == c],
                [j for j in range(n * n) if (j // n // h, j % n // w) == (r // h, c // w)],
            ]
            single = any(sum(grid[cell] in may[j] for j in unit) == 1 for unit in units)
            assert grid[cell] in may[cell] and (len(may[cell]) == 1 or hidden and single)
            board[cell] = grid[cell]


@pytest.mark.parametrize("order", ["fixed", "random", "solver"])
def test_three_orders_write_the_same_solution(order):
    p = sudoku(draw(), 40, order=order)
    assert p.tokens.shape == (40, 26) and bool((p.given.sum(1) == 6).all())
    for tokens, grid, given_, cells in zip(p.tokens.tolist(), p.solution.tolist(), p.given.tolist(), p.order.tolist(), strict=True):
        placed = tokens[:6] + tokens[7::2]
        assert tokens[6::2] == cells[6:] and [(t - 16) // 4 for t in placed] == cells
        assert {(t - 16) // 4: (t - 16) % 4 for t in placed} == dict(enumerate(grid))
        if order == "fixed":
            assert cells == [i for i in range(16) if given_[i]] + [i for i in range(16) if not given_[i]]


def test_what_the_solver_cannot_solve_stays_open_and_impossible_wishes_are_refused():
    empty = torch.full((3, 16), -1)
    board, order = solve(empty, draw())
    assert torch.equal(board, empty) and bool((order == -1).all())
    with pytest.raises(ValueError, match="no puzzle of side 4 with 1 givens was solved"):
        sudoku(draw(), 4, givens=1)
    with pytest.raises(ValueError, match="unknown order 'easy'"):
        sudoku(draw(), 1, order="easy")


# ----------------------------------------------------------------------------------------------------------------------- pendulum


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3), st.floats(-0.9, 0.9), st.sampled_from([8, 16, 24]))
def test_an_intervention_moves_effects_and_leaves_causes(which, value, size):
    images, factors, noise = pendulum(5, size, seed=2)
    assert images.shape == (5, 1, size, size) and float(images.min()) >= -1 and float(images.max()) <= 1
    same = do(factors, noise, which, factors[:, which])
    assert torch.equal(same, factors) and torch.equal(render(same, size), images)
    changed = do(factors, noise, which, value)
    assert bool((changed[:, which] == value).all())
    stays = [i for i in range(4) if i != which and (which > 1 or i < 2)]
    assert torch.equal(changed[:, stays], factors[:, stays])
    if which == 0:
        assert not torch.equal(changed[:, 2], factors[:, 2])


def test_pendulum_factors_are_standardised_and_each_is_seen_in_the_picture():
    images, factors, noise = pendulum(4000)
    z = standardise(factors)
    assert float(z.mean(0).abs().max()) < 0.15 and float((z.std(0) - 1).abs().max()) < 0.15
    for which in range(4):
        assert float((render(do(factors, noise, which, factors[:, which] + 1)) - images).abs().amax((1, 2, 3)).min()) > 0.1
    with pytest.raises(ValueError, match="there are 4 factors"):
        do(factors, noise, len(FACTORS), 0.0)


# ----------------------------------------------------------------------------------------------------------------------- programs


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.booleans(), st.integers(0, 10_000))
def test_parsing_undoes_writing(leaves, outer, seed):
    tree = random_tree(random.Random(seed), leaves)
    assert parse(infix(tree, outer=outer)) == [tree]
    assert parse([*infix(tree), "#", ";", *infix(tree, outer=False), ";", "#"]) == [tree, tree]
    assert len(prefix(tree)) == 2 * leaves - 1 and len(infix(tree)) == max(1, 4 * leaves - 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_right_variants_pass_every_test_and_values_are_those_of_arithmetic(leaves, seed):
    rng = random.Random(seed)
    tree = random_tree(rng, leaves)
    where = environments(draw(seed), 8)
    tests = make_tests([tree], where)
    code = encode(infix(variant(tree, rng, bug=0.0))) + encode(["<end>", "(", "<mask>"])
    assert run_tests(code, tests) == (True, 1.0) == run_tests(torch.tensor(code), tests)

    def value(t, e):  # Python's own integers, reduced once at the end
        return e[t] if isinstance(t, str) else {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[t[0]](value(t[1], e), value(t[2], e))

    assert all(test.value == value(tree, test.environment) % 97 == evaluate(tree, test.environment) for test in tests)


def test_swapped_minus_fails_and_only_the_right_statements_count():
    trees = [("-", "a", "b"), ("+", "c", "d"), ("*", "a", "a"), "d"]
    tests = make_tests(trees, environments(draw(), 8))
    code = lambda text: encode(text.split())  # noqa: E731
    assert run_tests(code("a - b ; d + c ; a * a ; d ;"), tests) == (True, 1.0)
    assert run_tests(code("b - a ; ( c + d ) ; a * a ; d"), tests) == (True, 0.75)
    assert run_tests(code("a - b ; c + d"), tests) == (True, 0.5), "missing statements fail"
    with pytest.raises(ValueError, match="token 1 is b, expected one of ;"):
        parse(["a", "b"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, len(VOCABULARY) - 1), max_size=30))
def test_no_code_whatever_raises(code):
    parses, share = run_tests(code, make_tests(["a"], environments(draw(), 3)))
    assert 0 <= share <= 1 and (parses or share == 0)


@pytest.mark.parametrize("text", ["", "(", "( a )", "a + b * c", "( a + b", "a +", "a ; ; b", "# a", "<mask>", "( " * 3000, "a + <sep>"])
def test_what_is_no_program_has_format_false(text):
    assert run_tests(encode(text.split()), make_tests(["a"], environments(draw(), 2))) == (False, 0.0)


def test_the_corpus_has_bugs_in_the_share_asked_for():
    data = expressions(draw(), 600, bug=1.0)
    assert data.prompts.shape == (600, 8) and data.programs.shape == (600, 13) and int(data.programs.max()) < 12
    assert all(VOCABULARY[i] == "<sep>" for i in data.prompts[:, -1])
    where = environments(draw(1), 8)
    passed = [run_tests(code, make_tests([tree], where))[1] == 1 for code, tree in zip(data.programs, data.trees, strict=True)]
    assert all(passed[i] for i, tree in enumerate(data.trees) if "-" not in prefix(tree))
    assert sum(passed) / 600 < 0.6
    right = expressions(draw(), 200, bug=0.0)
    assert all(run_tests(code, make_tests([tree], where))[1] == 1 for code, tree in zip(right.programs, right.trees, strict=True))


# --------------------------------------------------------------------------------------------------------------- text and source


def test_letters_spell_the_words_of_the_source():
    data = spell_out()
    assert len(data.vocabulary) == 89 and len(data.train) > 10 * 1000 and 8 * len(data.heldout) < len(data.train)
    source, target = data.batch(draw(), 20)
    assert source.shape == (20, 8) and target.shape == (20, 44) and int(source.min()) >= 29 and int(target.max()) < 29
    for words, letters in zip(source, target.tolist(), strict=True):
        want = " ".join(data.vocabulary[i] for i in words)[:44]
        assert data.decode(letters) == want + "$" * (44 - len(want))
        assert data.decode(words).split() == [data.vocabulary[i] for i in words]
    _, longer = data.batch(draw(), 3, 2, 30, part="heldout")
    assert bool((longer[:, -1] == PAD).all()) and bool((longer == SPACE).any(1).all())


def test_windows_come_from_their_module_and_parts_do_not_overlap():
    X, y = stdlib_modules(draw(), 3, 64)
    assert X.shape == (36, 64) and y.tolist() == [m for m in range(12) for _ in range(3)] and int(X.max()) < 500
    again, _ = stdlib_modules(draw(), 3, 64)
    assert torch.equal(X, again)
    for split in ("validation", "test"):
        assert stdlib_modules(draw(), 2, 128, split)[0].shape == (24, 128)
    assert "def " in module_source(MODULES[0])
    with pytest.raises(ImportError, match="no source text of the module no_such_module"):
        module_source("no_such_module")
    with pytest.raises(ValueError, match="unknown split"):
        stdlib_modules(draw(), 1, 8, "dev")
    with pytest.raises(ValueError, match="fewer than the 1000000 of a window"):
        stdlib_modules(draw(), 1, 1_000_000)
