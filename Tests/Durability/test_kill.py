"""The broker is killed 50 times under load, and loses nothing that it had acknowledged; and the
harness that says so finds a broker that does."""
import pytest

from kill import Options, run

pytestmark = pytest.mark.usefixtures("binary")


@pytest.mark.parametrize("loops", [1, 2], ids=lambda n: f"loops-{n}")
def test_a_killed_broker_keeps_what_it_acknowledged(loops, seed, kills, store_kind):
    report = run(Options(kills, seed, loops=loops, store_kind=store_kind))
    print(report.text())
    assert not report.failures, report.failures[0].text
    assert report.summary["kills"] == kills


@pytest.mark.parametrize("loops", [1, 2], ids=lambda n: f"loops-{n}")
def test_the_model_is_right_about_a_broker_that_lives(loops, seed):
    """The memory store keeps all while the broker runs. What fails here is the model, or the
    broker's protocol, and not a store."""
    report = run(Options(6, seed, loops=loops, store_kind="memory", kills=False))
    print(report.text())
    assert not report.failures, report.failures[0].text


def test_a_broker_that_forgets_is_found(seed, tmp_path):
    report = run(Options(3, seed, store_kind="memory", keep=tmp_path))
    assert report.failures, "the memory store outlived its process"
    assert report.summary["sessions_lost"] > 0, report.text()
