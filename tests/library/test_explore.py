"""minilib.explore: a question first, the answer once a control has moved, and a picture that outlives a bad setting."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import pytest  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from minilib.explore import choice, explore, slider, toggle  # noqa: E402


class Page:
    """What a notebook would show: the box of widgets, and the picture with its updates."""

    def __init__(self):
        self.box, self.pictures = None, []

    def display(self, thing, display_id=False):
        if not display_id:
            self.box = thing
            return None
        self.pictures.append(thing)
        return self

    def update(self, picture):
        self.pictures.append(picture)

    @property
    def question(self):
        return self.box.children[0].value

    @property
    def notice(self):
        return self.box.children[-2]

    @property
    def trouble(self):
        return self.box.children[-1].value


@pytest.fixture
def page(monkeypatch):
    shown = Page()
    monkeypatch.setattr("minilib.explore.display", shown.display)
    yield shown
    assert not plt.get_fignums(), "no figure stays open: the notebook would show it a second time"


def draw(n):
    fig, ax = plt.subplots()
    if n == 5:
        raise ValueError("no <figure> for five")
    ax.set_title(str(n))
    return fig


def title(picture):
    return picture.axes[0].get_title(loc="left")


def test_the_first_frame_is_an_ordinary_picture_and_the_answer_is_folded_away(page):
    explore(draw, n=slider(1, 9, start=3, label="n"), ask="Which n < 5?", notice="See n > 4.")
    assert [title(p) for p in page.pictures] == ["3"] and isinstance(page.pictures[0], Figure)
    assert page.question == "<b>Which n &lt; 5?</b>"
    assert page.notice.layout.display == "none"


def test_moving_a_control_updates_the_picture_and_unfolds_what_to_notice(page):
    n = slider(1, 9, start=3, label="n")
    explore(draw, n=n, ask="?", notice="See n > 4.")
    n.value = 4
    assert title(page.pictures[-1]) == "4"
    assert page.notice.layout.display is None and "<summary>What to notice</summary>See n &gt; 4." in page.notice.value


def test_a_setting_that_cannot_be_drawn_says_so_and_keeps_the_picture(page):
    n = slider(1, 9, start=3, label="n")
    explore(draw, n=n, ask="?", notice="")
    n.value = 5
    assert [title(p) for p in page.pictures] == ["3"]
    assert "This setting cannot be drawn: no &lt;figure&gt; for five" in page.trouble
    n.value = 6
    assert title(page.pictures[-1]) == "6" and page.trouble == ""


def test_all_controls_reach_the_drawing_by_name(page):
    seen = []

    def record(eta, mask, on):
        seen.append((eta, mask, on))
        plt.figure()

    eta, mask, on = slider(0.1, 1.0, 0.1, label="η"), choice({"causal": 0, "all": 8}, label="mask"), toggle(label="on")
    explore(record, eta=eta, mask=mask, on=on, ask="?", notice="")
    eta.value, mask.value, on.value = 0.5, 8, True
    assert seen == [(0.1, 0, False), (0.5, 0, False), (0.5, 8, False), (0.5, 8, True)]


def test_controls_are_labelled_and_of_the_right_kind():
    assert type(slider(1, 5, label="n").value) is int
    assert type(slider(0, 1, 0.1, label="p").value) is float
    assert choice(["a", "b"], label="c").value == "a" and choice(["a", "b"], start="b", label="c").value == "b"
    for control in (slider(1, 5, label="name"), choice([1], label="name"), toggle(label="name")):
        assert control.description == "name"
