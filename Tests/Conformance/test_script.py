"""scripts/conformance itself: what it finds, and what it does not let pass."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPT = os.path.join(ROOT, "scripts/conformance")
# Put together here, so that the script does not take these lines for tags of this file's tests.
TAG = "v3:" + "MQTT-3.1.0-1"
OTHER = "v5:" + "MQTT-3.1.0-1"
UNKNOWN = "v3:" + "MQTT-9.9.9-9"
V3 = "# comment\nMQTT-3.1.0-1\tboth\tCONNECT comes first\nMQTT-3.1.0-9\tclient\tis a client's\n"
V5 = ("MQTT-3.1.0-1\tserver\tanother\nMQTT-6.0.0-1\tserver\tneeds WebSocket\t"
      "untestable: there is none\n")
V5_TEST = f"def test_five():\n    '''{OTHER}'''\n"


@pytest.fixture
def project(tmp_path):
    """Writes files into a small project and runs the script on it."""

    def run(mode, files, v3=V3, v5=V5):
        contents = {"Tests/Conformance/statements-3.1.1.tsv": v3,
                    "Tests/Conformance/statements-5.0.tsv": v5, **files}
        for path, text in contents.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        done = subprocess.run([sys.executable, SCRIPT, mode, "--root", str(tmp_path)],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr, tmp_path / "docs/CONFORMANCE.md"

    return run


PYTHON = {
    "docstring": f"def test_one():\n    '''{TAG}'''\n",
    "comment above": f"# {TAG}\ndef test_one():\n    pass\n",
    "comment above a decorator": f"# {TAG}\n@mark\ndef test_one():\n    pass\n",
    "table": f"TABLE = [\n    1,  # {TAG}\n]\n\n\ndef test_one():\n    assert TABLE\n",
    "class": f"class TestAll:\n    def test_one(self):\n        '''{TAG}'''\n",
}
SWIFT = {
    "display name": f'@Test("one {TAG}") func a() {{}}\n',
    "comment above": f'/// {TAG}\n@Test("one") func a() {{}}\n',
    "comment above an attribute": f'// {TAG}\n@MainActor\n@Test func test_one() {{}}\n',
    "body": f'@Test("one", arguments: [(1)])\nfunc a(x: Int) {{ if true {{ }} // {TAG}\n}}\n',
    "table": f'let cases: [Int] = [\n  1, // {TAG}\n]\n@Test func test_one() {{ _ = cases }}\n',
    "brace in a string": f'@Test func a() {{ let x = "}}" // {TAG}\n}}\n@Test func b() {{}}\n',
}


@pytest.mark.parametrize("case", PYTHON)
def test_tags_in_python(project, case):
    files = {"Tests/test_a.py": PYTHON[case] + "\n\n" + V5_TEST}
    assert project("--write", files)[0] == 0
    code, errors, page = project("--check", files)
    assert (code, errors) == (0, "")
    assert "test_a.py: " in page.read_text() and "test_one" in page.read_text()


@pytest.mark.parametrize("case", SWIFT)
def test_tags_in_swift(project, case):
    files = {"Tests/A/ATests.swift": SWIFT[case], "Tests/test_a.py": V5_TEST}
    code, errors, page = project("--write", files)
    assert (code, errors) == (0, "")
    assert "A/ATests.swift: " in page.read_text()


def test_tags_in_vectors(project):
    row = f"first | {TAG} | 3.1.1 | c2s | 00 | valid | -\n"
    bare = "second | MQTT-3.1.0-1 | 3.1.1,5 | c2s | 00 | valid | -\n"
    code, errors, page = project("--write", {"Tests/Vectors/p.txt": "# head\n" + row + bare})
    assert (code, errors) == (0, "")
    assert "Vectors/p.txt: first" in page.read_text()
    assert "Vectors/p.txt: second" in page.read_text()


def test_the_page_counts(project):
    files = {"Tests/test_a.py": PYTHON["docstring"] + "\n\n" + V5_TEST}
    text = project("--write", files)[2].read_text()
    assert "| MQTT 3.1.1 | 1 | 1 | 0 | 1 |" in text
    assert "| MQTT 5.0 | 2 | 1 | 1 | 0 |" in text
    assert "no test: there is none" in text and "is a client's" not in text


def test_a_statement_without_test_is_named(project):
    code, errors, _ = project("--check", {"Tests/test_a.py": V5_TEST})
    assert code == 1 and f"{TAG}: neither a test nor a reason" in errors
    assert OTHER not in errors


@pytest.mark.parametrize("text", [
    f"@pytest.mark.skip\ndef test_one():\n    '''{TAG}'''\n",
    f"def helper():\n    '''{TAG}'''\n",
    f"# {TAG}\n\n\ndef helper():\n    pass\n"])
def test_a_tag_outside_a_test_that_runs_is_named(project, text):
    code, errors, _ = project("--check", {"Tests/test_a.py": text + "\n\n" + V5_TEST})
    assert code == 1 and f"{TAG} stands in no test that runs" in errors


def test_a_disabled_swift_test_does_not_count(project):
    files = {"Tests/A.swift": f'@Test("one", .disabled("why")) func a() {{ // {TAG}\n}}\n',
             "Tests/test_a.py": V5_TEST}
    code, errors, _ = project("--check", files)
    assert code == 1 and f"{TAG} stands in no test that runs" in errors


def test_an_unknown_id_is_named_with_its_line(project):
    files = {"Tests/test_a.py": f"\n\ndef test_one():\n    '''{UNKNOWN} {TAG}'''\n" + V5_TEST}
    code, errors, _ = project("--check", files)
    assert code == 1 and f"Tests/test_a.py:4: {UNKNOWN} is no numbered statement" in errors


def test_a_stale_reason_is_named(project):
    files = {"Tests/test_a.py": "def test_one():\n    '''" + "v5:" + "MQTT-6.0.0-1 " + TAG
             + "'''\n" + V5_TEST}
    code, errors, _ = project("--check", files)
    assert code == 1 and "the reason why it has none is stale" in errors


def test_a_stale_page_is_named(project):
    files = {"Tests/test_a.py": PYTHON["docstring"] + "\n\n" + V5_TEST}
    assert "not current" in project("--check", files)[1]
    assert project("--write", files)[0] == 0
    files["Tests/test_b.py"] = PYTHON["docstring"]
    code, errors, _ = project("--check", files)
    assert code == 1 and "docs/CONFORMANCE.md is not current" in errors


@pytest.mark.parametrize("row", ["MQTT-1.1.1-1\tboth\n", "MQTT-1.1.1-1\tnobody\ttext\n",
                                 "MQTT-1.1.1-1\tboth\ttext\tbecause\n"])
def test_a_wrong_row_is_named(project, row):
    code, errors, _ = project("--check", {"Tests/test_a.py": V5_TEST}, v3=row)
    assert code == 1 and "statements-3.1.1.tsv:1" in errors
