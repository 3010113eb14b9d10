"""The rules of the house that no linter knows: who may read a clock, who may do I/O, how large things may be."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGES = (
    "bot",
    "capture",
    "crosscheck",
    "journal",
    "market",
    "review",
    "sandbox",
    "strategies",
    "venues",
    "wirestamp",
)
SOURCES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "base"}

SALTED = PROJECT / "capture" / "streams" / "flows.py"  # its hash table draws a secret, and nothing else depends on it

# Pure: the same inputs lead to the same outputs, whenever and wherever they run.
PURE = [
    *(
        path
        for path in SOURCES
        if path.relative_to(PROJECT).parts[0] in {"market", "venues", "strategies", "crosscheck"}
    ),
    *(path for room in ("decode", "streams") for path in (PROJECT / "capture" / room).glob("*.py") if path != SALTED),
    *(PROJECT / "capture" / "inspect" / name for name in ("reassembly.py", "tls.py", "tls_ciphers.py", "tls_hello.py")),
    *(PROJECT / "capture" / name for name in ("packets.py", "roster.py")),
    PROJECT / "bot" / "engine.py",
    PROJECT / "bot" / "strategy.py",
    *(PROJECT / "bot" / "orders" / name for name in ("risk.py", "manager.py", "records.py")),
]
SANS_IO = [PROJECT / "bot" / "transport" / name for name in ("streams.py", "websocket.py", "http.py")]

CLOCKS = {"time", "datetime", "sched"}
IO = {
    "asyncio", "concurrent", "fcntl", "fileinput", "http", "io", "logging", "mmap", "multiprocessing", "os", "pathlib",
    "queue", "random", "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "structlog",
    "subprocess", "sys", "tempfile", "threading", "uvloop", "aiohttp",
}  # fmt: skip
IO_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}

# In the trader, these and nobody else say what time it is.
CLOCK_READERS = {
    "bot/feeds.py", "bot/orders/gateway.py", "bot/recorder.py", "bot/rest.py", "bot/service.py",
    "bot/transport/connection.py", "bot/transport/poller.py",
}  # fmt: skip


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Return the top-level names of everything that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add((node.module or "").partition(".")[0])
    return found


def called(path: Path) -> set[str]:
    """Return the names of the plain functions that a module calls."""
    calls = [node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)]
    return {function.id for function in calls if isinstance(function, ast.Name)}


def named(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@pytest.mark.parametrize("path", PURE, ids=named)
def test_a_pure_module_reads_no_clock_and_does_no_io(path: Path) -> None:
    """Protocol, book, matching, risk and strategies: time is an argument, bytes come in and go out."""
    assert set() == imported(path) & (CLOCKS | IO)
    assert set() == called(path) & IO_CALLS


@pytest.mark.parametrize("path", SANS_IO, ids=named)
def test_a_sans_io_layer_touches_no_socket_and_no_clock(path: Path) -> None:
    """Masking keys come from the system's generator, and that is all."""
    assert imported(path) & (CLOCKS | IO) <= {"os"}
    used = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute) and is_os(node.value)}
    assert used <= {"urandom"}
    assert set() == called(path) & IO_CALLS


def is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


def test_only_who_stamps_reads_clocks() -> None:
    """The transport, the engine's stamping, and the service."""
    readers = {named(path) for path in SOURCES if named(path).startswith("bot/") and imported(path) & CLOCKS}
    assert CLOCK_READERS == readers


def test_the_rules_see_what_they_look_for(tmp_path: Path) -> None:
    """A check that finds nothing anywhere would hold as well."""
    path = tmp_path / "bad.py"
    path.write_text("def f():\n    from time import time_ns\n    import os.path\n    print(open('x'), time_ns())\n")
    assert {"time", "os"} == imported(path)
    assert {"print", "open", "time_ns"} == called(path)
    assert [("f", 3)] == list(code_lines(path))
    assert len(PURE) > 15
    assert all(path.is_file() for path in (*PURE, *SANS_IO))


# -- size and names ---------------------------------------------------------------------------------------------------


def code_lines(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every function with the lines of its body behind the docstring."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_docstring = ast.get_docstring(node) is not None and len(node.body) > 1
            first = node.body[1 if has_docstring else 0]
            yield node.name, (node.end_lineno or 0) - first.lineno + 1


def python_files() -> list[Path]:
    return [*SOURCES, *sorted((PROJECT / "tests").rglob("*.py")), *sorted((PROJECT / "benchmarks").rglob("*.py"))]


def test_no_file_is_longer_than_a_sitting() -> None:
    """400 lines, tests and benchmarks included."""
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert {} == {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES}


def test_no_function_is_longer_than_a_screen() -> None:
    """40 lines of code: what its docstring takes is not held against it."""
    long = {(named(path), name): lines for path in python_files() for name, lines in code_lines(path)}
    assert {} == {where: lines for where, lines in long.items() if lines > MAX_FUNCTION_LINES}


def test_a_modules_name_says_what_it_owns() -> None:
    """No drawer for whatever is left over."""
    names = {part.removesuffix(".py") for path in python_files() for part in path.relative_to(PROJECT).parts}
    assert set() == names & NO_NAMES


def test_every_module_opens_with_what_it_owns() -> None:
    """A docstring each."""
    assert [] == [named(path) for path in SOURCES if not ast.get_docstring(tree_of(path))]


# -- paper only -------------------------------------------------------------------------------------------------------

LIVE_SWITCH = re.compile(
    r"--(go-)?live\b|\b(allow|enable|use|force|confirm|is|go)[_-](live|real|mainnet)\b"
    r"|\b(live|real|mainnet)[_-](trad|order|mode|money|account)|\bpaper(_only)?\s*=\s*false\b",
    re.IGNORECASE,
)


def test_nothing_looks_like_a_switch_for_live_trading() -> None:
    """Neither an option nor a key, a variable or a constant, in any file of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=PROJECT, capture_output=True, check=False
    )
    paths = [PROJECT / name for name in listed.stdout.decode().split("\0") if name] or python_files()
    found = []
    for path in paths:
        if path == Path(__file__) or not path.is_file():
            continue
        text = path.read_bytes().decode(errors="replace")
        found += [(named(path), match.group()) for match in LIVE_SWITCH.finditer(text)]
    assert len(paths) > 100
    assert [] == found


@pytest.mark.parametrize(
    "switch", ["--live", "allow_live", "LIVE_TRADING=1", "paper = false", "enable-real", "use_mainnet"]
)
def test_a_switch_would_be_seen(switch: str) -> None:
    """As someone would write one."""
    assert LIVE_SWITCH.search(f"x {switch} y")
