"""Where numbers lie: address maps are bijections, products cost what the closed form says, the cache is where attention looks for it."""

import os
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilib.pim import AIM, MODELS, PAPER, TINY, Asic, Engine, Mapping, ModelShape, PimSystem
from minilib.pim.commands import Block
from minilib.pim.mapping import Matrix, vmm

EXAMPLES = 500 if os.environ.get("COURSE_THOROUGH") else 50
QUIET = {"tRFC": 455.0, "tREFI": 1e12}  # no refresh


def mapping(name, reserve=1024, dram=PAPER, **options):
    shape = name if isinstance(name, ModelShape) else MODELS[name]
    return Mapping(shape, dram, Asic(), reserve=reserve, **options)


def distinct(parts):
    """All addresses differ."""
    return len(set(zip(*(np.broadcast_to(p, np.shape(parts[2])).ravel().tolist() for p in parts), strict=True)))


@pytest.mark.parametrize(("K", "N"), [(64, 192), (1, 1), (17, 5), (100, 33), (256, 64), (33, 40)])
def test_every_weight_has_one_address_and_the_address_gives_it_back(K, N):
    matrix = Matrix(K, N, row=3)
    k, n = (a.ravel() for a in np.meshgrid(np.arange(K), np.arange(N), indexing="ij"))
    where = matrix.address(k, n, TINY)
    assert distinct(where) == K * N
    assert where[2].min() >= 3 and where[2].max() < 3 + matrix.rows(TINY)
    back = matrix.inverse(*where, TINY)
    assert (back[0] == k).all() and (back[1] == n).all()


@pytest.mark.parametrize("shape", [ModelShape("a", 1, 768, 12), ModelShape("b", 1, 1600, 25), ModelShape("c", 1, 1536, 16)], ids=str)
@pytest.mark.parametrize("kind", ["K", "V"])
def test_the_cache_is_a_bijection_inside_its_space(shape, kind):
    m = mapping(shape, reserve=1500)
    tokens = np.array([0, 1, 7, 15, 16, 127, 128, 300, 1023, 1024, 1499])
    t, j = (a.ravel() for a in np.meshgrid(tokens, np.arange(shape.d), indexing="ij"))
    where = m.kv_address(kind, t, j)
    assert distinct(where) == t.size
    low, high = (m.k_base, m.v_base) if kind == "K" else (m.v_base, m.rows)
    assert where[2].min() >= low and where[2].max() < high
    back = m.kv_inverse(kind, *where)
    assert (back[0] == t).all() and (back[1] == j).all()


def test_keys_and_values_lie_as_the_units_need_them():
    m = mapping(ModelShape("x", 1, 1600, 25))
    c, b, row, column, lane = m.kv_address("K", 40, np.arange(1600))
    assert np.size(c) == np.size(b) == 1  # one bank holds all of a token's key
    heads = row.reshape(25, 64)
    assert (heads == heads[:, :1]).all() and len(set(row.tolist())) == 2  # no head over two rows; ⌈1600/1024⌉ rows
    c, b, row, column, lane = m.kv_address("V", np.arange(32, 48), 77)
    assert len(set(column.tolist())) == 1 and lane.tolist() == list(range(16))  # 16 tokens of one output in one column
    channels = {m.kv_address("K", t, 0)[0] for t in range(8)}
    assert len(channels) == 8  # neighbours are dealt over the channels


@pytest.mark.parametrize("name", MODELS)
def test_regions_do_not_overlap_and_weights_fill_their_rows(name):
    m = mapping(name)
    matrices = [*m.qkv, m.proj, m.up, m.down]
    ends = [x.row + x.rows(PAPER) for x in matrices]
    assert [x.row for x in matrices] == [0, *ends[:-1]] and ends[-1] == m.k_base <= m.v_base <= m.rows
    for x in matrices:  # as few rows as the bytes of a bank allow (an output of K values takes whole columns)
        assert x.rows(PAPER) == ceil(ceil(x.N / 128) * sum(x.chunks(PAPER)) / 64)


# ----------------------------------------------------------------------------------------------------------------- one product


def closed_form(K, N):
    """Cycles and counts of x W with the PAPER timing from closed rows, without refresh: bursts, PRE and ACT of every row, MACs, reads."""
    per = [ceil(min(1024, K - k) / 16) for k in range(0, K, 1024)]
    slots = ceil(N / 128)
    macs, reads, rows = slots * sum(per), slots * len(per), ceil(slots * sum(per) / 64)
    cycles = sum(per) + rows * (12 + 12) - 12 + macs + reads  # the first row finds the banks closed
    return cycles, {"ACT": rows, "MAC": macs, "RDMAC": reads, "WRGB": sum(per)}


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 9000))
def test_a_product_takes_the_closed_form(K, N):
    dram = PAPER.with_(**QUIET)
    engine = Engine(dram)
    end = engine.run(Block("x", list(vmm(Matrix(K, N, 0), dram))))
    cycles, counts = closed_form(K, N)
    assert {name: engine.counts[name] for name in counts} == counts
    assert end == cycles
    if counts["MAC"] % 64 == 0:
        assert counts["ACT"] * 64 == counts["MAC"]  # full rows: exactly 63 of 64 accesses hit
    assert counts["ACT"] >= ceil(K * ceil(N / 128) * 2 / 2048)


def test_a_product_under_other_timings():
    """With tRTP = 6 ns the row stays open longer than the last MAC and its read need; times in cycles of 0.5 ns."""
    dram = AIM.with_(**QUIET)
    engine = Engine(dram)
    end = engine.run(Block("x", list(vmm(Matrix(1024, 128 * 10, 0), dram))))
    row = 56 + 63 * 2 + 12 + 32  # tRCDMAC, from the first MAC to the last, tRTP, tRP
    assert end == 63 * 2 + 1 + 9 * row + 56 + 64 * 2 + 2  # the first ACT follows the last burst of the inputs by one cycle


@pytest.mark.parametrize(("name", "k", "v"), [("gpt2-small", 84, 234), ("gpt2-xl", 172, 507), ("gpt3-xl", 200, 624)])
def test_writing_a_token_costs_one_row_cycle_a_row(name, k, v):
    """K: 84 ns for d = 768; for d = 2048 two rows, 2 · (12 + 64 + 12 + 12) = 200 ns (one row of that length would take 164).
    V: 39 ns for each 128 outputs."""
    engine, block = Engine(PAPER), mapping(name)._write(5)
    parts = {op: [i for i in block.instructions if i.op == op] for op in ("WRK", "WRV")}
    assert engine.run(Block("K", parts["WRK"])) == k
    assert Engine(PAPER).run(Block("V", parts["WRV"])) == v
    assert len(parts["WRK"]) == ceil(MODELS[name].d / 1024)


def test_reading_row_major_values_would_take_the_pins():
    """2 T d bytes at 256 B/ns: 8.2 µs a layer at T = d = 1024."""
    system = PimSystem(PAPER.with_(**QUIET), v="row")
    stats = system.run(ModelShape("x", 1, 1024, 16), 1024)
    assert stats.counts["RD"] * 32 * 8 == 2 * 1024 * 1024
    assert stats.breakdown["PV"] == pytest.approx(8192, rel=0.05)
    assert stats.breakdown["PV"] > 4 * PimSystem(PAPER.with_(**QUIET)).run(ModelShape("x", 1, 1024, 16), 1024).breakdown["PV"]


def test_every_weight_is_multiplied_once():
    for matrix, dram in ((Matrix(1600, 4800, 0), PAPER), (Matrix(100, 33, 2), TINY)):
        seen = np.zeros((matrix.rows(dram) + matrix.row, dram.columns), int)
        for i in vmm(matrix, dram):
            if i.op == "MAC":
                assert i.column + i.n <= dram.columns
                seen[i.row, i.column : i.column + i.n] += 1
        used = ceil(matrix.N / dram.units) * sum(matrix.chunks(dram))
        assert seen.max() == 1 and seen.sum() == used


# -------------------------------------------------------------------------------------------------------------------- refusals


def test_capacity_says_by_how_much():
    with pytest.raises(ValueError, match=r"gpt2-xl with 8192 tokens .* does not fit, 1\.67 GB more than its 4\.29 GB"):
        mapping("gpt2-xl", reserve=8192)
    for name in MODELS:
        if name != "gpt2-xl":
            assert mapping(name, reserve=8192).rows * MODELS[name].layers <= PAPER.rows
    assert mapping("gpt2-xl", reserve=3072)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: mapping("gpt2-small", reserve=0), "reserve must be at least one token, got 0"),
        (lambda: mapping("gpt2-small", heads="shuffled"), "heads must be 'concatenated' or 'separate', got 'shuffled'"),
        (lambda: mapping("gpt2-small", reserve=100).layer(101), "context of 101 tokens: space is reserved for 1 to 100"),
        (lambda: mapping(ModelShape("odd", 1, 120, 5)), "a head of 24 must be a multiple of 16 lanes"),
        (lambda: ModelShape("bad", 1, 100, 3), "d = 100 is not a multiple of 3 heads"),
        (lambda: PAPER.with_(channels=0), "channels must be a whole number of at least 1, got 0"),
        (lambda: PAPER.with_(tRP=0.5), "tRP must be at least one cycle of 1 ns, got 0.5"),
        (lambda: PAPER.with_(tRP=float("nan")), "tRP must be a positive number, got nan"),
        (lambda: PAPER.with_(tRP="12"), "tRP must be a number, got '12'"),
        (lambda: PAPER.with_(tFAW=3), "tFAW is no entry of DramConfig"),
        (lambda: PAPER.with_(tREFI=500.0), "tREFI must be more than twice tRFC"),
        (lambda: PAPER.with_(row_bytes=100), "row_bytes must be a multiple of 32"),
        (lambda: PimSystem(page="half"), "page must be 'open' or 'closed'"),
        (lambda: PimSystem().generate(MODELS["gpt2-small"], 0), "at least one token"),
        (lambda: Asic(ghz=0), "the ASIC's ghz must be a positive number, got 0"),
    ],
)
def test_wrong_settings_are_refused_in_words(change, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        change()
