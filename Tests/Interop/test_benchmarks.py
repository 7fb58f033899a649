"""The parts of `make bench` that measure nothing: noise, comparison, buckets, the page."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from Benchmarks import buckets, crossing, figures, page, tables, wire  # noqa: E402
from Benchmarks.figures import BETTER, HIGHER, LOWER, SAME, WORSE, Section  # noqa: E402

MACHINE = {"cores": 2, "cpu": "one", "memory_gib": 24, "kernel": "Linux 6", "system": "Debian"}


def made(values, better=LOWER, **more):
    return figures.figure("speed", "x", "a figure", values, "us", better, "bench", **more)


def section(name: str = "speed", **members) -> Section:
    return Section(id=name, when="2026-01-01", rounds=3, machine=dict(MACHINE), **members)


def test_a_figure_is_the_median_of_its_rounds():
    one = made([3.0, 1.0, 2.0])
    assert (one.value, one.low, one.high, one.rounds) == (2.0, 1.0, 3.0, 3)
    assert one.id == "speed.x"
    with pytest.raises(ValueError):
        made([])


@pytest.mark.parametrize(
    ("values", "more", "expected"),
    [
        ([100, 110, 90], {}, 10),
        ([100, 100, 100], {}, 3),
        ([100], {}, 10),
        ([0.0], {"resolution": 0.5}, 0.5),
    ],
)
def test_noise_is_not_taken_for_less_than_it_is(values, more, expected):
    assert figures.noise(made(values, **more)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("old", "new", "lower", "higher"),
    [
        # Outside of what was found by more than 3 % of each.
        ([100, 100, 100], [107, 107, 107], WORSE, BETTER),
        ([100, 100, 100], [106, 106, 106], SAME, SAME),
        ([100, 100, 100], [93, 93, 93], BETTER, WORSE),
        # Rounds that lie apart widen what is taken for the same.
        ([90, 100, 110], [125, 125, 125], WORSE, BETTER),
        ([90, 100, 110], [120, 120, 120], SAME, SAME),
        ([100, 100, 100], [90, 110, 130], SAME, SAME),
        # One round alone says less.
        ([100], [120], SAME, SAME),
        ([100], [125], WORSE, BETTER),
    ],
)
def test_worse_is_what_noise_does_not_explain(old, new, lower, higher):
    assert figures.compare(made(new), made(old)) == lower
    assert figures.compare(made(new, HIGHER), made(old, HIGHER)) == higher


def test_only_like_is_compared_with_like():
    def compared(**members):
        old = section(figures=[made([1.0, 1.0])])
        new = section(figures=[made([2.0, 2.0])])
        for name, value in members.items():
            setattr(new, name, value)
        return figures.Comparison({"speed": new}, {"speed": old}).verdicts

    assert compared() == {"speed.x": WORSE}
    assert compared(quick=True) == {}
    assert compared(machine={**MACHINE, "cpu": "another"}) == {}
    assert compared(machine={**MACHINE, "kernel": "Linux 7"}) == {"speed.x": WORSE}
    assert compared(figures=[made([2.0, 2.0], of="mosquitto")]) == {}


def test_results_come_back_as_they_were_stored():
    one = section(
        figures=[made([1.0, 2.0, 3.0], target=2.5)], notes=["a note"], data={"points": [[1, 0.5]]}
    )
    text = figures.results_text({"speed": one})
    assert figures.parse_results(text) == {"speed": one}
    assert figures.results_text(figures.parse_results(text)) == text
    assert figures.parse_results('{"format": 0, "sections": {}}') == {}


def test_targets_are_met_in_their_direction():
    assert made([1.0], target=1.0).is_met and not made([1.1], target=1.0).is_met
    assert made([2.0], HIGHER, target=1.0).is_met and not made([0.5], HIGHER, target=1.0).is_met
    assert made([1.0]).is_met is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4_234_694.9, "4,230,000"), (1_234.0, "1,230"), (256.4, "256"), (12.34, "12.3"),
        (1.234, "1.23"), (0.0194, "0.0194"), (0.0, "0"), (15.0, "15"), (None, "—"),
        (-1_234.0, "-1,230"), (99_999.0, "100,000"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert tables.number(value) == text


def test_text_is_wrapped_outside_of_code():
    text = tables.wrapped("a word and `some code with words` and more of it", columns=20)
    assert "`some code with words`" in text.split("\n")


def speed(bifrost: float) -> Section:
    """The results of a small part of a run."""
    one = section(data={"brokers": ["bifrost-1", "mosquitto"], "pair-qos0.bifrost-1.busy": 0.5})
    command = "bifrost bench pair"
    for name, rate in (("bifrost-1", bifrost), ("mosquitto", 100_000.0)):
        more = {"of": "bifrost" if name == "bifrost-1" else name}
        one.add(f"pair-qos0.{name}.rate", f"rate of {name}", [rate] * 3, "/s", HIGHER, command,
                **more)  # fmt: skip
        one.add(f"pair-qos0.{name}.cpu", "CPU", [1e6 / rate] * 3, "us", LOWER, command, **more)
    one.add("pair-qos0.rate-ratio", "rate", [bifrost / 1e5] * 3, "x", HIGHER, command, target=20)
    one.add("pair-qos0.cpu-ratio", "CPU", [1e5 / bifrost] * 3, "x", LOWER, command, target=0.045)
    return one


def test_the_page_shows_targets_limits_and_what_got_worse():
    text = page.render({"speed": speed(4e6)}, {}, "## Experiments\n\nNone yet.", {"speed-cpu"})
    assert "| 100 pairs, QoS 0 | 40 | 20 | 0.025 | 0.045 | met: rate and CPU |" in text
    assert "generator (broker 50% busy)" in text
    assert "(benchmarks/speed-cpu.svg)" in text and "speed-rate.svg" not in text
    assert "What got worse" not in text
    assert text.endswith("## Experiments\n\nNone yet.\n")
    worse = page.render({"speed": speed(1e6)}, {"speed": speed(4e6)}, "", set())
    assert "## What got worse" in worse
    assert "| rate of bifrost-1 | 4,000,000 | 1,000,000 | /s | -75 % |" in worse
    assert "**1,000,000 (worse: was 4,000,000)**" in worse
    assert "rate of mosquitto" not in worse
    better = page.render({"speed": speed(4e6)}, {"speed": speed(1e6)}, "", set())
    assert "4,000,000 (was 1,000,000)" in better and "got worse" not in better


def test_the_page_says_why_a_section_is_missing():
    skipped = section("million", skipped="it has to be root")
    text = page.render({"speed": speed(4e6), "million": skipped}, {}, "", set())
    assert "Not measured: it has to be root." in text


def test_the_committed_results_make_a_page():
    path = REPOSITORY / "docs/benchmarks/results.json"
    if not path.exists():
        pytest.skip("no results are committed")
    stored = figures.load_results(path)
    text = page.render(stored, stored, "", {plot.name for plot in page.drawings(stored)})
    for name in stored:
        assert f"## {page.SECTIONS[name].TITLE}\n" in text


NAMES = {
    "(extension in Packet):Swift.OutputSpan<A where A == Swift.UInt8>.append(copying: "
    "Swift.Span<Swift.UInt8>) -> ()": "encode",
    "MQTTServer.Worker.(accept in _65463F3E)(Swift.UInt32, Packet.Publish) -> ()": "handle",
    "function signature specialization <Arg[1] = Exploded> of function signature specialization "
    "<Arg[3] = Dead> of static Packet.Publish.decode(_: Swift.Span<Swift.UInt8>)": "parse",
    "generic specialization <MQTTServer.Worker> of Net.Loop.(reserve in _F9A8)(Swift.UInt32) -> "
    "Swift.Int": "encode",
    "generic specialization <MQTTServer.Worker> of Net.Loop.run(A) -> ()": "turn",
    "generic specialization <MQTTServer.Worker> of Net.Loop.(takeLetters in _1)(A) -> ()":
        "between",
    "PubSub.FilterIndex.findExact(_: Swift.Span<Swift.UInt8>, hash: Swift.UInt32)": "match",
    "closure #1 (Swift.UnsafeRawBufferPointer) -> Swift.UInt64 in Util.hashBytes(_: "
    "Swift.Span<Swift.UInt8>) -> Swift.UInt64": "match",
    "outlined destroy of Session.MessageView": "session",
    "MQTTServer.TemplateCache.get(_: Session.MessageView) -> MQTTServer.Template": "encode",
    "Util.Region.allocate() -> Swift.UInt32?": "pools",
    "$s6PubSub11FilterIndexC5match": "match",
    "__memmove_avx_unaligned_erms": "copy",
    "swift_retain": "runtime",
    "main": "other",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_functions_have_their_bucket(name):
    assert buckets.bucket_of_user(name, "/usr/bin/bifrost") == NAMES[name]


@pytest.mark.parametrize(
    ("chain", "bucket"),
    [
        ("tcp_recvmsg __sys_recvfrom __x64_sys_recvfrom do_syscall_64", "read"),
        ("tcp_v4_rcv tcp_sendmsg __sys_sendto __x64_sys_sendto do_syscall_64", "write"),
        ("eventfd_write vfs_write ksys_write do_syscall_64", "wake"),
        ("ep_poll do_epoll_wait __x64_sys_epoll_wait do_syscall_64", "epoll"),
        ("clear_page_erms handle_mm_fault exc_page_fault asm_exc_page_fault", "faults"),
        ("handle_softirqs sysvec_apic_timer_interrupt", "kernel"),
    ],
)
def test_samples_in_the_kernel_belong_to_their_system_call(chain, bucket):
    assert buckets.bucket_of_kernel(chain.replace(" ", "\n")) == bucket


def test_costs_inside_and_across_are_fitted():
    fit = crossing.fitted([(share, 0.2 + share * 0.1) for share in (0.3, 0.4, 0.5, 0.6)])
    assert fit["ratio"] == pytest.approx(1.5) and fit["error"] == pytest.approx(0, abs=1e-6)
    assert crossing.fitted([(0.5, 0.3)] * 5) is None


def test_packets_are_found_in_a_stream():
    data = wire.publish(b"t", b"x" * 200, 1, 7) + wire.publish(b"t", b"y") + b"\x30\x05"
    found = [(first, data[start:end]) for first, start, end in wire.frames(data)]
    assert found == [(0x32, b"\0\x01t\0\x07" + b"x" * 200), (0x30, b"\0\x01ty")]


def test_a_wrong_command_line_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); "
         "from Benchmarks.main import main; main(['--only', 'nothing'])", str(REPOSITORY)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 2
    assert "there is no section nothing" in done.stderr
