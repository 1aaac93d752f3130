"""Directives that print what the source says, so that no page can fall behind it.

``parameters`` and ``rules`` (the API's, from the rule table), ``modules`` (the layers from
pyproject.toml, each module with its own first line), ``moves`` (a job's states), ``draft``
(changelog fragments), ``inexpressible`` (what the JSON Schemas cannot say; the build puts these
into ``schema/``). A check at the end of each build: the reference has every public name, and the
page on errors every error.
"""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import seedance_async
from seedance_async import lifecycle, rules, schema, wire

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "seedance_async"
ERRORS_PAGE = "guide/errors"
RULES_PAGE = "rules"
log = logging.getLogger(__name__)


class Printed(SphinxDirective):
    """A directive that stands for lines of Markdown."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)

    def lines(self) -> Iterable[str]:
        raise NotImplementedError


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def code(names: Iterable[Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)


class Parameters(Printed):
    def lines(self) -> Iterator[str]:
        rows = []
        for python, spelled in wire.WIRE_NAMES.items():
            about = [rule.id for rule in rules.RULES if python in rule.fields]
            links = ", ".join(f"[`{id_}`](#{anchor(id_)})" for id_ in about)
            rows.append((f"`{python}`", f"`{spelled}`", default(python), links))
        yield from table(("In Python", "On the wire", "Default", "Rules"), rows)


def default(field: str) -> str:
    if field in rules.DEFAULTS:
        value = rules.DEFAULTS[field]
        return f"`{value if not isinstance(value, str) else repr(str(value))}`"
    return "not given" if field in (*rules.FRAMES, *rules.REFERENCES) else "required"


def anchor(rule_id: str) -> str:
    return rule_id.replace(".", "-").replace("_", "-")


class Rules(Printed):
    """The rules of the stage that is the argument."""

    required_arguments = 1

    def lines(self) -> Iterator[str]:
        rows = [
            (
                f"[`{rule.id}`]{{#{anchor(rule.id)}}}",
                fields(rule.fields),
                "<br>".join([marked(rule.requirement), *limits(rule)]),
            )
            for rule in rules.RULES
            if rule.stage is rules.Stage(self.arguments[0])
        ]
        yield from table(("Rule", "Fields", "What it asks for"), rows)


def fields(names: Iterable[str]) -> str:
    """Name fields as Python does, and as the API does where that differs."""
    spelled = ((name, wire.WIRE_NAMES[name]) for name in names)
    return ", ".join(f"`{a}`" if a == b else f"`{a}` (`{b}`)" for a, b in spelled)


def marked(requirement: str) -> str:
    """Set the names of fields and models in a requirement as code."""
    names = {*wire.WIRE_NAMES, *map(str, rules.Model), "_pro", "asset://<assetId>"}
    words = (
        word.replace(bare, f"`{bare}`") if (bare := word.rstrip(".,;")) in names else word
        for word in requirement.split(" ")
    )
    return " ".join(words)


def limits(rule: rules.Rule) -> Iterator[str]:
    """Give the numbers of a rule, and what its own words do not list already."""
    for name, value in rule.limits.items():
        if isinstance(value, Mapping):
            yield f"{name}: {', '.join(f'`{a}` → `{b}`' for a, b in value.items())}"
        elif not isinstance(value, Sequence):
            yield f"{name}: {f'{value:,}' if isinstance(value, int) else value}"
        elif not all(str(each) in rule.requirement for each in value):
            yield f"{name}: {code(value)}"


class Modules(Printed):
    def lines(self) -> Iterator[str]:
        contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"][
            "importlinter"
        ]["contracts"]
        by_id = {contract["id"]: contract for contract in contracts}
        core = {name.partition(".")[2] for name in by_id["core"]["source_modules"]}
        shell = {name.partition(".")[2] for name in by_id["extras"]["source_modules"]} - core
        layers = [layer.split(" | ") for layer in by_id["layers"]["layers"]]
        rooms = {"Around the library": None, "The shell": shell, "The core": core}
        for title, members in rooms.items():
            yield f"**{title}**\n"
            rows = []
            for layer in layers:
                for name in layer:
                    if (name in members) if members is not None else name not in core | shell:
                        rows += rows_of(name)
            yield from table(("Module", "What lives there"), rows)


def rows_of(name: str) -> Iterator[tuple[str, str]]:
    """Give a module's row, and a package's rows, from the first paragraph of each docstring."""
    path = PACKAGE / name
    if not path.is_dir():
        yield f"`{name}`", first_line(path.with_suffix(".py"))
        return
    yield f"`{name}/`", first_line(path / "__init__.py")
    for inner in sorted(path.glob("*.py")):
        if inner.name not in ("__init__.py", "__main__.py"):
            yield f"`{name}/{inner.stem}`", first_line(inner)


def first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    if not docstring:
        raise ValueError(f"{path} has no docstring")
    return inspect.cleandoc(docstring).splitlines()[0].replace("``", "`")


class Moves(Printed):
    def lines(self) -> Iterator[str]:
        words = ModuleAnalyzer.for_module(lifecycle.__name__).find_attr_docs()
        rows = [
            (
                f"`{state}`",
                words["JobState", state.name][0],
                code(next_ for next_ in lifecycle.JobState if next_ in lifecycle.MOVES[state])
                or "nowhere",
            )
            for state in lifecycle.JobState
        ]
        yield from table(("State", "What it means", "May move to"), rows)


class Inexpressible(Printed):
    def lines(self) -> Iterator[str]:
        by_reason: dict[str, list[str]] = {}
        for rule, reason in schema.INEXPRESSIBLE.items():
            by_reason.setdefault(reason, []).append(rule)
        rows = ((code(ids), marked(reason)) for reason, ids in by_reason.items())
        yield from table(("Rule", "Why"), rows)


def write_schemas(app: Sphinx, failed: Exception | None) -> None:
    """Publish the schemas under names that stay."""
    if failed is None and app.builder.format == "html":
        folder = Path(app.outdir) / "schema"
        folder.mkdir(exist_ok=True)
        made = {"job": schema.job_schema(), "jobs": schema.manifest_schema()}
        for name, content in made.items():
            text = json.dumps(content, indent=2) + "\n"
            (folder / f"{name}.schema.json").write_text(text, "utf-8")


class Draft(Printed):
    """The fragments that no version has yet, as the changelog will show them."""

    def lines(self) -> Iterator[str]:
        for fragment in (ROOT / "docs/changes").glob("*.md"):
            self.env.note_dependency(str(fragment))
        command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "next"]
        draft = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for line in draft.splitlines():
            if line.startswith("### "):
                yield f"**{line[4:]}**"
            elif not line.startswith("## "):
                yield line


def resolve_public(
    app: Sphinx, env: BuildEnvironment, node: Any, shown_node: nodes.TextElement
) -> nodes.reference | None:
    """Take a public object's own module, which annotations may name, for the package."""
    name = node.get("reftarget", "").rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in seedance_async.__all__:
        return None
    target = f"seedance_async.{name}"
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, shown_node)


_COLON = "\N{RATIO}"


def hide_colon(_app: Sphinx, what: str, *more: Any) -> None:
    """Keep napoleon from reading "The digest: equal for ..." as a type.

    It looks for one at the beginning of a property, and of what a function returns.
    """
    lines = more[-1]
    places = [index + 1 for index, line in enumerate(lines[:-1]) if line.strip() == "Returns:"]
    for place in [0, *places] if what == "property" and lines else places:
        lines[place] = lines[place].replace(":", _COLON)


def show_colon(_app: Sphinx, _what: str, *more: Any) -> None:
    more[-1][:] = [line.replace(_COLON, ":") for line in more[-1]]


def check(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Warn of what the pages leave out; warnings are errors."""
    documented = {name for name, *_ in env.get_domain("py").get_objects()}
    for name in sorted(seedance_async.__all__):
        if f"seedance_async.{name}" not in documented:
            log.warning("the reference has nothing on seedance_async.%s", name)
    page = Path(env.doc2path(ERRORS_PAGE)).read_text("utf-8")
    for name in sorted(seedance_async.__all__):
        value = getattr(seedance_async, name)
        is_error = isinstance(value, type) and issubclass(value, Exception)
        if is_error and f"{name}`" not in page:
            log.warning("%s has nothing on seedance_async.%s", ERRORS_PAGE, name)
    page = Path(env.doc2path(RULES_PAGE)).read_text("utf-8")
    for stage in rules.Stage:
        if f"{{rules}} {stage}\n" not in page:
            log.warning("%s has no table of the rules of stage %s", RULES_PAGE, stage)
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("parameters", Parameters)
    app.add_directive("rules", Rules)
    app.add_directive("modules", Modules)
    app.add_directive("moves", Moves)
    app.add_directive("draft", Draft)
    app.add_directive("inexpressible", Inexpressible)
    app.connect("build-finished", write_schemas)
    app.connect("missing-reference", resolve_public)
    app.connect("autodoc-process-docstring", hide_colon, priority=100)  # napoleon has 500
    app.connect("autodoc-process-docstring", show_colon, priority=900)
    app.connect("env-updated", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
