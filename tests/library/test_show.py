"""minilib.show: one style, the spread over seeds always drawn, masks and matrices the right way up."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from minilib import show  # noqa: E402


@pytest.fixture
def ax():
    fig, axes = show.figure(title="A finding")
    yield axes
    plt.close(fig)


def test_a_figure_has_its_finding_as_title_and_a_size_for_each_axes():
    fig, axes = show.figure(2, 3, title="A finding", width=2, height=1)
    assert axes.shape == (2, 3) and list(fig.get_size_inches()) == [6, 2] and fig.get_suptitle() == "A finding"
    plt.close(fig)


def test_figures_stay_readable_on_a_dark_page():
    assert plt.rcParams["figure.facecolor"] == plt.rcParams["savefig.facecolor"] == "white"
    assert len(set(show.COLOURS)) == len(show.COLOURS) == 8


def test_a_curve_over_seeds_is_its_mean_with_the_range_around_it(ax):
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    show.curves(ax, [10, 20], {"ours": values, "one seed": [1, 2]}, xlabel="steps", ylabel="loss", logx=True)
    assert list(ax.lines[0].get_ydata()) == [2.0, 4.0] and len(ax.collections) == 1
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1.0 and band[:, 1].max() == 6.0
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("steps", "loss", "log")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["ours", "one seed"]


def test_bars_show_mean_and_range(ax):
    show.bars(ax, {"a": [1.0, 3.0], "b": 2.0}, ylabel="MSE")
    assert [bar.get_height() for bar in ax.patches] == [2.0, 2.0]
    assert list(ax.lines[0].get_ydata()) == [1.0, 3.0] and len(ax.lines) == 1
    assert [t.get_text() for t in ax.texts] == ["2", "2"]


def test_a_centred_heat_map_is_symmetric_about_zero(ax):
    image = show.heat(ax, torch.tensor([[-1.0, 4.0]]), xlabel="key", ylabel="query", centred=True)
    assert image.get_clim() == (-4.0, 4.0)
    show.heat(ax, np.zeros((2, 2)), xlabel="", ylabel="", centred=True)


def test_a_mask_has_queries_down_and_keys_across(ax):
    visible = torch.ones(2, 3, dtype=torch.bool)
    visible[0, 2] = False
    show.mask(ax, visible)
    assert ax.images[0].get_array().tolist() == [[1, 1, 0], [1, 1, 1]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("key position", "query position")
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first query is on top"
