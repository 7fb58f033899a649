"""`bifrost doctor`: what it prints for this machine, as text and as JSON, and how it ends."""

from __future__ import annotations

import json
import os
import pathlib
import re
import resource
import subprocess

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("BIFROST_BIN", REPOSITORY / ".build/release/bifrost"))
if not BINARY.is_absolute():
    BINARY = REPOSITORY / BINARY

# Seconds that it takes only if it hangs.
DEADLINE = 15

FINE, LOW, USAGE = 0, 1, 64
# More than any machine holds.
MOST = 100_000_000


def doctor(*words, open_files: int | None = None) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if open_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    return subprocess.run(
        [BINARY, "doctor", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        preexec_fn=limit,
    )


def report(*words, **options) -> dict:
    """The result as JSON; what it says and how the command ends belong together."""
    done = doctor("--json", *words, **options)
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert done.returncode == (FINE if result["fine"] else LOW)
    return result


def check(result: dict, name: str) -> dict:
    found = [check for check in result["checks"] if check["name"].startswith(name)]
    assert len(found) == 1, name
    return found[0]


def test_help_names_the_options():
    done = doctor("--help")
    assert done.returncode == 0
    for option in ["--connections", "--loops", "--listeners", "--clients-here", "--json"]:
        assert option in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--connections",),
        ("--connections", "many"),
        ("--connections", "0"),
        ("--connections", "-1"),
        ("--connections", "1.5"),
        ("--connections", MOST + 1),
        ("--connections", "99999999999999999999"),
        ("--connections", 10, "--loops", 0),
        ("--connections", 10, "--loops", 65),
        ("--connections", 10, "--listeners", 0),
        ("--connections", 10, "--listeners", 65),
        ("--connections", 10, "--nonsense"),
        ("--connections", 10, "surplus"),
    ],
)
def test_a_wrong_command_line_ends_with_64(words):
    done = doctor(*words)
    assert done.returncode == USAGE
    assert done.stdout == "" and done.stderr != ""


def test_a_number_out_of_range_is_named_with_its_range():
    done = doctor("--connections", 0)
    assert "--connections is 0; use 1 to 100000000" in done.stderr


def test_the_most_that_can_be_asked_is_too_much():
    done = doctor("--connections", MOST, "--loops", 64)
    assert done.returncode == LOW
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "100,000,000 connections, 64 loops, 1 listener"
    assert re.search(r"^LOW +memory +[\d,]+ MiB \(of [\d,]+ MiB\)$", done.stdout, re.MULTILINE)
    assert re.fullmatch(r"\d+ limits of \d+ are too low\.( \d+ could not be read\.)?", lines[-1])


def test_text_and_json_say_the_same():
    words = ("--connections", 1_000_000, "--loops", 2)
    text = doctor(*words)
    result = report(*words)
    assert text.returncode == (FINE if result["fine"] else LOW)
    labels = {"fine": "fine", "LOW": "low", "unknown": "unknown"}
    shown = [line.split(maxsplit=1) for line in text.stdout.splitlines()]
    statuses = [labels[words[0]] for words in shown if words and words[0] in labels]
    assert statuses == [check["status"] for check in result["checks"]]
    for entry in result["checks"]:
        assert entry["name"] in text.stdout
        low = entry["status"] == "low"
        assert bool(entry["remedies"]) == low
        for remedy in entry["remedies"]:
            assert remedy["text"] in text.stdout
        if low:
            assert entry["why"] in text.stdout and entry["needed_text"] in text.stdout


def test_the_json_has_what_was_asked_and_counts():
    result = report("--connections", 1000, "--loops", 3, "--listeners", 2, "--clients-here")
    assert result["connections"] == 1000
    assert result["loops"] == 3
    assert result["listeners"] == 2
    assert result["clients_here"] is True
    statuses = [check["status"] for check in result["checks"]]
    assert result["low"] == statuses.count("low")
    assert result["unknown"] == statuses.count("unknown")
    assert set(statuses) <= {"fine", "low", "unknown"}
    names = [check["name"] for check in result["checks"]]
    assert len(set(names)) == len(names) > 15
    for entry in result["checks"]:
        assert set(entry) == {
            "name", "status", "unit", "present", "needed", "present_text", "needed_text", "why",
            "note", "remedies",
        }  # fmt: skip


def test_the_loops_are_the_processors_unless_they_are_given():
    assert report("--connections", 10)["loops"] == min(64, len(os.sched_getaffinity(0)))


def test_the_memory_of_a_million():
    away = report("--connections", 1_000_000)["memory"]
    assert away["user_bytes"] == 25_000_000 + 256_000_000
    assert away["kernel_bytes"] == 4_400_000_000
    assert away["total_bytes"] == away["user_bytes"] + away["kernel_bytes"]
    assert away["burst_bytes"] == 1_000_000 * resource.getpagesize()
    here = report("--connections", 1_000_000, "--clients-here")["memory"]
    assert here["user_bytes"] == away["user_bytes"]
    assert here["kernel_bytes"] == 2 * away["kernel_bytes"]


def test_ten_clients_are_fine_where_the_machine_allows():
    result = report("--connections", 10, "--loops", 1)
    if not result["fine"]:
        low = [check for check in result["checks"] if check["status"] == "low"]
        # Of these a machine has enough for ten clients unless somebody took it away.
        assert not {check["name"] for check in low} & {"sessions of a broker", "fs.nr_open"}
        pytest.skip(f"this machine has not enough for ten: {[check['name'] for check in low]}")
    assert doctor("--connections", 10, "--loops", 1).stdout.endswith("\n\nNo limit bites.\n") or (
        result["unknown"] > 0
    )


def test_the_limit_of_open_files_is_that_of_the_process():
    # 16 and 5 for the loop, and the clients.
    fine = check(report("--connections", 100, "--loops", 1, open_files=121), "open files")
    assert (fine["status"], fine["present"], fine["needed"]) == ("fine", 121, 121)
    low = check(report("--connections", 100, "--loops", 1, open_files=120), "open files")
    assert low["status"] == "low"
    assert low["remedies"][0]["text"] == "ulimit -n 121"
    assert low["remedies"][1]["text"] == "LimitNOFILE=121"


def test_loops_with_tables_of_their_own_make_up_for_a_low_limit():
    # The default of many a shell.
    one = check(report("--connections", 10_000, "--loops", 1, open_files=1024), "open files")
    advice = one["remedies"][-1]["text"]
    found = re.fullmatch(
        r"net\.loops: (\d+), net\.private-descriptors: auto, mqtt\.max-connections: 10000", advice
    )
    assert found, advice
    many = report("--connections", 10_000, "--loops", found[1], open_files=1024)
    assert check(many, "open files")["status"] == "fine"
    assert "net.private-descriptors: auto" in check(many, "open files")["note"]
