"""What import-linter cannot see: that its lists agree, and that the core really does no IO."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "seedance_async"
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
}
LAYERS = [layer.split(" | ") for layer in CONTRACTS["layers"]["layers"]]
AROUND = {"__main__", "cli", "distributed", "emulator", "media", "report", "s3"}

# Calls by their last name: what opens a file, prints, or asks for the time or the environment.
IMPURE = {"open", "print", "input", "exec", "eval", "__import__"} | {
    *("read_text", "read_bytes", "write_text", "write_bytes", "exists", "stat", "unlink"),
    *("now", "today", "utcnow", "sleep", "getenv"),
}
IMPURE_NAMES = {"environ", "argv", "stdin", "stdout", "stderr"}


def modules(contract: str, key: str = "source_modules") -> set[str]:
    own = (name.partition("seedance_async.")[2] for name in CONTRACTS[contract][key])
    return {name for name in own if name}


CORE = modules("core")
SHELL = modules("extras") - CORE


def impurities(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            if name in IMPURE_NAMES:
                yield f"line {node.lineno}: {name}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if called in IMPURE:
                yield f"line {node.lineno}: {called}()"


@pytest.mark.parametrize("module", sorted(CORE))
def test_the_core_opens_nothing_prints_nothing_and_asks_for_no_time(module: str) -> None:
    path = PACKAGE / f"{module}.py"
    assert list(impurities(ast.parse(path.read_text("utf-8")))) == []


def test_every_module_is_core_shell_or_around_them() -> None:
    assert {name for layer in LAYERS for name in layer} == CORE | SHELL | AROUND
    assert {*CORE} & {*SHELL} == set()


def test_the_contracts_forbid_the_whole_shell() -> None:
    assert modules("core", "forbidden_modules") == SHELL
    assert modules("emulator", "forbidden_modules") == SHELL


def test_no_layer_of_the_shell_lies_below_one_of_the_core() -> None:
    kinds = ["core" if name in CORE else "above" for layer in LAYERS for name in layer]
    assert kinds == sorted(kinds)  # "above" sorts first
