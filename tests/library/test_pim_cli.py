"""The command line: what it prints, and one sentence for each wrong option."""

import json

import pytest
from typer.testing import CliRunner

from minilib.pim.__main__ import app


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_run_prints_figures_and_json():
    done = call("run", "--model", "GPT2-small", "--tokens", 3, "--start", 100, "--preset", "aim", "--json")
    made = json.loads(done.stdout)
    assert done.exit_code == 0 and made["tokens"] == 3 and made["context"] == 103 and made["commands"]["MAC"] > 100_000
    plain = call("run", "--model", "gpt2-small", "--tokens", 2, "--set", "tRCD=14", "--channels", 16)
    assert plain.exit_code == 0 and "us_per_token" in plain.stdout


def test_table_lists_eight_models_and_what_does_not_fit():
    rows = json.loads(call("table", "--json").stdout)
    assert len(rows) == 8 and all("t4_ratio" in row for row in rows)
    assert "does not fit, 1.67 GB more" in call("table", "--context", 8192).stdout.replace("\n", " ")


def test_trace_and_audit(tmp_path):
    file = tmp_path / "t.csv"
    assert "commands of gpt2-small" in call("trace", "--out", file, "--context", 40).stdout
    done = call("audit", file)
    assert done.exit_code == 0 and "no rules broken" in done.stdout
    lines = file.read_text().splitlines()
    broken = next(i for i, line in enumerate(lines) if ",MAC," in line)
    time, rest = lines[broken].split(",", 1)
    lines[broken] = f"{int(time) - 1},{rest}"
    file.write_text("\n".join(lines))
    done = call("audit", file, "--json")
    assert done.exit_code == 1 and json.loads(done.stdout)["violations"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "--model", "gpt4"], "unknown model 'gpt4'; the nearest is gpt"),
        (["run", "--model", "gpt2-small", "--channels", 0], "channels must be a whole number of at least 1, got 0"),
        (["run", "--model", "gpt2-small", "--tokens", 0], "at least one token"),
        (["run", "--model", "gpt2-small", "--tokens", 20, "--reserve", 10], "context of 11 tokens: space is reserved for 1 to 10"),
        (["run", "--model", "gpt2-xl", "--tokens", 2, "--reserve", 8192], "does not fit, 1.67 GB more"),
        (["run", "--model", "gpt2-small", "--set", "tRCD=0.4"], "tRCD must be at least one cycle of 1 ns, got 0.4"),
        (["run", "--model", "gpt2-small", "--set", "tRCD=soon"], "tRCD must be a number, got 'soon'"),
        (["run", "--model", "gpt2-small", "--set", "tRCD"], "tRCD must be a number, got ''"),
        (["run", "--model", "gpt2-small", "--set", "tFAW=3"], "tFAW is no entry of DramConfig"),
        (["run", "--model", "gpt2-small", "--preset", "hbm"], "unknown preset 'hbm'; choose paper or aim"),
        (["run", "--model", "gpt2-small", "--energy", "free"], "unknown energy parameters 'free'; choose aim or currents"),
        (["run", "--model", "gpt2-small", "--mac-reads", -2], "mac_reads must be a number of at least 0"),
        (["run", "--model", "gpt2-small", "--asic-ghz", -1], "the ASIC's ghz must be a positive number"),
        (["run", "--model", "gpt2-small", "--heads", "mixed"], "heads must be 'concatenated' or 'separate'"),
        (["run", "--model", "gpt2-small", "--page", "torn"], "page must be 'open' or 'closed'"),
        (["audit", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["trace", "--out", "no/such/folder/t.csv", "--context", 2], "No such file or directory"),
    ],
)
def test_wrong_options_get_one_sentence(words, sentence):
    done = call(*words)
    said = done.stderr.strip()
    assert done.exit_code == 2 and sentence in said and len(said.splitlines()) == 1 and "Traceback" not in done.output
