"""The auditor passes what the scheduler makes and finds every single broken rule."""

import pytest

from minilib.pim import AIM, MODELS, PAPER, Asic, ModelShape, PimSystem, Record, audit, read_trace, write_trace
from minilib.pim.audit import audit as judge

ALL, STEPS = -1, {"MAC": 1, "WRGB": 1, "WR": 1}


def test_the_package_exports_the_function():
    assert audit is judge


@pytest.mark.parametrize("dram", [PAPER, AIM], ids=lambda dram: dram.name)
@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("gpt3-small", "gpt3-medium")])  # the same shapes as GPT2's
def test_traces_of_every_model_are_legal(name, dram):
    trace = []
    stats = PimSystem(dram).run(MODELS[name], 600, trace=trace)
    result = audit(trace, dram)
    assert result.violations == []
    per_channel = {command: n for command, n in stats.counts.items() if command not in ("ACT1", "WR1")}
    assert result.commands == sum(per_channel.values()) + stats.counts["ACT1"] + stats.counts["WR1"]


@pytest.mark.parametrize(
    "system",
    [
        PimSystem(PAPER.with_(gbps=2.0)),
        PimSystem(PAPER.with_(tCCD=3.0)),
        PimSystem(asic=Asic(ghz=0.01)),
        PimSystem(overlap=False),
        PimSystem(heads="separate"),
        PimSystem(AIM, v="row"),
    ],
    ids=["slow pins", "slow columns", "very slow ASIC", "no overlap", "separate heads", "V row-major"],
)
def test_traces_of_unusual_machines_are_legal(system):
    trace, engine = [], None
    engine = system.engine(trace)
    system._generate(ModelShape("x", 2, 1536, 16), range(1100, 1104), None, engine, type(engine).run)
    assert audit(trace, system.dram).violations == []


def test_a_closed_page_is_legal_too():
    trace = []
    PimSystem(page="closed").run(ModelShape("x", 1, 128, 2), 40, trace=trace)
    assert audit(trace, PAPER, slack=64 * 50.0).violations == []


# ------------------------------------------------------------------------------------------------- one broken rule, one complaint


def legal():
    """ACT, 40 MAC, RDMAC, PRE, ACT, WR, PRE, ACT, WRGB, MAC, PRE, REF, ACT … with every time at its earliest."""
    r = lambda time, command, n=1, step=1, row=-1, column=-1: Record(time, command, n, step, ALL, ALL, row, column)  # noqa: E731
    return [
        r(0, "ACT", row=1), r(12, "MAC", 40, row=1, column=0), r(52, "RDMAC"), r(53, "PRE"), r(65, "ACT", row=2),
        r(77, "WR", 4, row=2, column=3), r(93, "PRE"), r(105, "ACT", row=3), r(116, "WRGB"), r(117, "MAC", row=3, column=0),
        r(132, "PRE"), r(144, "REF"), r(599, "ACT", row=3), r(611, "MAC", row=3, column=0), r(612, "RDMAC"), r(613, "WRGB"),
        r(614, "WRGB"),
    ]  # fmt: skip


def test_the_hand_made_trace_is_legal():
    assert audit(legal(), PAPER).violations == []


def shifted(index, by):
    return [r._replace(time=r.time + by * (i >= index)) for i, r in enumerate(legal())]


MUTATIONS = {
    "tRCDMAC": lambda: shifted(1, -1),
    "tRCD": lambda: shifted(5, -1),
    "tRP": lambda: shifted(4, -1),
    "tRAS": lambda: [legal()[0], legal()[1]._replace(n=3), Record(26, "PRE", 1, 1, ALL, ALL, -1, -1)],
    "tRC": lambda: shifted(7, 0)[:7] + [r._replace(time=r.time - 2) for r in legal()[7:]],
    "tCCD": lambda: [legal()[0], legal()[1]._replace(step=0)],
    "tWR": lambda: shifted(6, -1),
    "tRTP": lambda: [legal()[0], legal()[1], Record(52, "PRE", 1, 1, ALL, ALL, -1, -1)],
    "bus": lambda: shifted(16, -1),
    "buffer": lambda: [legal()[0], Record(20, "WRGB", 1, 1, ALL, ALL, -1, -1), Record(20, "MAC", 1, 1, ALL, ALL, 1, 0)],
    "accumulator": lambda: [legal()[0], Record(20, "RDMAC", 1, 1, ALL, ALL, -1, -1), Record(20, "MAC", 1, 1, ALL, ALL, 1, 0)],
    "tRFC": lambda: shifted(12, -1),
    "command bus": lambda: [legal()[0], legal()[1]._replace(n=1), Record(12, "RDMAC", 1, 1, ALL, ALL, -1, -1)],
    "row": lambda: [legal()[0], legal()[1]._replace(row=2)],
    "column": lambda: [legal()[0], legal()[1]._replace(column=30)],
    "refresh": lambda: shifted(11, 8000)[:11] + shifted(11, 8000)[11:],
}


@pytest.mark.parametrize("rule", MUTATIONS)
def test_each_broken_rule_is_found(rule):
    dram = {"tRTP": PAPER.with_(tRTP=2.0), "tRC": PAPER.with_(tRC=41.0)}.get(rule, PAPER)
    found = audit(MUTATIONS[rule](), dram).violations
    assert any(v.startswith(rule + ":") for v in found), found


def test_one_mac_a_cycle_earlier_is_found_in_a_whole_token():
    trace = []
    PimSystem().run(ModelShape("x", 1, 768, 12), 64, trace=trace)
    at = [i for i, r in enumerate(trace) if r.command == "MAC"][30]
    trace[at] = trace[at]._replace(time=trace[at].time - 1)
    assert not audit(trace, PAPER).passed


def test_a_skipped_refresh_is_found():
    trace = []
    PimSystem().run(MODELS["gpt2-small"], 64, trace=trace)
    refreshes = [i for i, r in enumerate(trace) if r.command == "REF"]
    del trace[refreshes[3]]
    assert any(v.startswith("refresh:") for v in audit(trace, PAPER).violations)


def test_an_all_bank_mac_on_a_row_open_in_one_bank_is_found():
    trace = [Record(0, "ACT", 1, 1, 2, 5, 7, 0), Record(12, "MAC", 1, 1, ALL, ALL, 7, 0)]
    assert any(v.startswith("row:") for v in audit(trace, PAPER).violations)
    assert not audit([], PAPER).passed


# --------------------------------------------------------------------------------------------------------------------- as a file


def test_a_trace_survives_its_file(tmp_path):
    trace = []
    PimSystem(AIM).run(ModelShape("x", 1, 256, 4), 20, trace=trace)
    write_trace(tmp_path / "t.csv", trace, AIM, model="x")
    assert read_trace(tmp_path / "t.csv") == (trace, AIM)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "t.csv is no trace"),
        ("hello\n", "t.csv is no trace"),
        ('# {"dram": {"colour": 3}}\n', "t.csv is no trace"),
        ('# {"dram": {}}\ntime\n', "line 2: the columns must be time, command"),
        ('# {"dram": {}}\ntime,command,n,step,channel,bank,row,column\n1,FLY,1,1,*,*,*,*\n', "line 3: not a command of a trace: 1,FLY"),
        ('# {"dram": {}}\ntime,command,n,step,channel,bank,row,column\n1,ACT,1\n', "line 3: not a command"),
    ],
)
def test_files_that_are_no_traces_are_refused(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_trace(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="none.csv cannot be read"):
        read_trace(tmp_path / "none.csv")
