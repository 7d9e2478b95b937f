"""The documentation says what is: its applications run, its outputs are real, its tables are the source's."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import burstline
from burstline.cli.main import COMMANDS, main
from burstline.engine.config import Config, load
from burstline.packet.fields import HEADER_METHODS, HEADERS
from burstline.schema import keys

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
if not (DOCS / "conf.py").is_file():
    pytest.skip("the documentation is not here", allow_module_level=True)

sys.path.insert(0, str(DOCS / "_ext"))
import tables  # noqa: E402

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")
SIZES = re.compile(r"\d+ (LLVM )?instructions")
TIMES = re.compile(r"^[\d.]+ s, .* \((\w+, \d workers?)|in [\d.]+ s \([\d.]+ \w+/s\)$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    kind: str
    text: str


def blocks(page: Path, kind: str) -> list[Block]:
    return [Block(page, *found) for found in BLOCK.findall(page.read_text()) if found[0] == kind]


def applications(page: Path) -> dict[str, str]:
    """The complete applications of a page, by the file name in their first line."""
    return {FILE.match(b.text)[1]: b.text for b in blocks(page, "python") if FILE.match(b.text)}  # type: ignore[index]


def commands(page: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Each command of a page that is shown with its output, and that output."""
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, *output = part.rstrip("\n").split("\n")
            yield shlex.split(command), output


def lasting(lines: list[str]) -> list[str]:
    """Without times and rates, which differ from machine to machine, and sizes of code, which Numba decides."""
    return [SIZES.sub("instructions", TIMES.sub(lambda found: found[1] or "", line)) for line in lines]


# ---- applications and their output ----


@pytest.mark.parametrize("page", [p for p in PAGES if list(commands(p))], ids=lambda p: p.stem)
def test_what_is_shown_is_what_the_commands_print(page: Path, tmp_path: Path) -> None:
    for name, text in applications(page).items():
        (tmp_path / name).write_text(text)
    path = os.pathsep.join(p for p in sys.path if p)
    ran = 0
    for words, shown in commands(page):
        assert words[0] == "burstline", f"{page.name} shows the output of {words[0]}, which no test can know"
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        printed = done.stdout.replace(f"{tmp_path}{os.sep}", "").splitlines()
        assert lasting(printed) == lasting(shown), " ".join(words)
        ran += 1
    assert ran


APPS = [(page, name) for page in PAGES for name in applications(page)]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("docs") / "capture.pcap"
    assert main(["gen", str(path), "--packets", "2000", "--flows", "50"]) == 0
    return path


@pytest.mark.parametrize(("page", "name"), APPS, ids=lambda x: x.stem if isinstance(x, Path) else x)
def test_every_application_does_the_same_compiled_and_interpreted(
    page: Path,
    name: str,
    capture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    (tmp_path / name).write_text(applications(page)[name])
    seen: list[Any] = []
    for mode in ([], ["--interpret"]):
        if main(["run", str(tmp_path / name), str(capture), "--json", *mode]) != 0:
            assert name == "refused.py"
            return
        said = capsys.readouterr()
        report = json.loads(said.out)
        assert report["packets_in"] == 2000
        assert not any("error" in reason for reason in report["drops"])
        seen.append((report["packets_consumed"], report["packets_out"], report["drops"], said.err))
    assert seen[0] == seen[1]


def test_pieces_of_python_are_at_least_python() -> None:
    found = [block for page in PAGES for block in blocks(page, "python")]
    assert len(found) >= 8
    for block in found:
        compile(block.text, block.page.name, "exec")


def test_settings_that_are_shown_are_settings(tmp_path: Path) -> None:
    shown = [block for page in PAGES for block in blocks(page, "toml")]
    assert shown
    for block in shown:
        (tmp_path / "burstline.toml").write_text(block.text)
        load(tmp_path / "burstline.toml")


# ---- tables ----


def test_the_field_tables_are_the_source() -> None:
    text = tables.headers()
    sections = dict(zip(re.findall(r"^### pkt\.(\w+)$", text, re.MULTILINE), text.split("### ")[1:], strict=True))
    assert list(sections) == [header.name for header in HEADERS]
    for header in HEADERS:
        rows = re.findall(r"^\| `(\w+)(?:\(\))?` \|.*\| (yes|no|) \|$", sections[header.name], re.MULTILINE)
        wanted = [(f.name, "yes" if f.writable else "no") for f in header.fields]
        wanted += [("options", "no")] if header.options else []
        wanted += [(name, "") for name, of in HEADER_METHODS.items() if header.name in of]
        assert rows == wanted
        assert header.source in sections[header.name]


@pytest.mark.parametrize(
    ("header", "field", "shown"),
    [
        ("ipv4", "dscp", "byte 1, bits 0-5"),
        ("ipv4", "frag_offset", "bytes 6-7, bits 3-15"),
        ("ipv6", "flow_label", "bytes 0-3, bits 12-31"),
        ("tcp", "flag_syn", "byte 13, bit 6"),
        ("udp", "dport", "bytes 2-3"),
        ("eth", "type", "bytes 12-13"),
    ],
)
def test_places_are_as_rfcs_draw_them(header: str, field: str, shown: str) -> None:
    found = next(h for h in HEADERS if h.name == header).field(field)
    assert found is not None
    assert tables.place(found) == shown


def test_every_setting_is_described() -> None:
    known = set()
    for name, made in keys(Config).items():
        kind = made.metadata.get("section") or made.metadata.get("sections")
        known |= {f"{name}.{key}" for key in keys(kind)} if kind else {name}
    assert known == set(tables.SETTINGS)
    assert all(f"`{name.rpartition('.')[2]}`" in tables.settings() for name in known)


def test_every_command_and_every_public_name_is_there() -> None:
    assert re.findall(r"^## burstline (\w+)$", tables.commands(), re.MULTILINE) == list(COMMANDS)
    types = tables.records()
    for name in burstline.__all__:
        assert f"`bl.{name}`" in tables.names() or f"`bl.{name}" in types


def test_every_table_is_used_and_every_one_used_exists() -> None:
    used = [name for page in PAGES for name in tables.MARK.findall(page.read_text())]
    assert sorted(used) == sorted(tables.TABLES)
    assert "<!-- table" not in tables.filled("before\n<!-- table: calls -->\nafter\n")


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text()
    listed = re.search(r"```\{toctree\}\n(?::.*\n)*\n(.*?)```", index, re.DOTALL)
    assert listed is not None
    assert sorted(listed[1].split()) == sorted(p.stem for p in DOCS.glob("*.md") if p.stem != "index")


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
