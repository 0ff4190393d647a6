"""Finished runs, kept between calls so that a stopped comparison goes on and peers need not run again."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from VoxelMorphRegistrationLib.network.catalogue import Catalogue

from benchmarks import evaluation, ours, peers, runs
from benchmarks.evaluation import Judge
from benchmarks.job import MOVED
from benchmarks.kept import identity
from benchmarks.machine import Machine
from benchmarks.pairs import Pair
from benchmarks.runs import BEFORE, Run


@dataclass(frozen=True)
class Store:
    """A folder with a folder for each run, named by row and method: its record, log and what it left."""

    folder: Path
    machine: Machine
    peer_python: Path

    def home(self, row: str, method: str) -> Path:
        """Where a run leaves its files."""
        return self.folder / row / method

    def load(self, pair: Pair, method: str) -> Run | None:
        """The run, if it was made on this machine, of these files, by the code as it is; judged by this judge."""
        record = self.home(pair.name, method) / "run.json"
        if not record.is_file():
            return None
        values = json.loads(record.read_text())
        if values["key"] != self.key(pair, method):
            return None
        run = Run.from_json(values["run"])
        if run.failure:
            return None
        if values["judge"] == _judge():
            return run
        if run.report is None or not (self.home(pair.name, method) / run.report.field_file).is_file():
            return None
        run = runs.judged(run, Judge(pair), self.home(pair.name, method))
        self.save(pair, run)
        return run

    def save(self, pair: Pair, run: Run) -> None:
        """Keep a run; of ours only the record, of a peer's also what a later judge needs."""
        home = self.home(pair.name, run.method)
        home.mkdir(parents=True, exist_ok=True)
        record = {"key": self.key(pair, run.method), "judge": _judge(), "run": asdict(run)}
        (home / "run.json").write_text(json.dumps(record, indent=2) + "\n")
        needed = {"run.json", "log.txt"}
        if run.report is not None and run.method not in ours.METHODS:
            needed |= {run.report.field_file, MOVED}
        for path in home.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in needed:
                path.unlink()

    def key(self, pair: Pair, method: str) -> str:
        """Says of what a run is made: input files, code, model, peers' versions, machine."""
        digest = hashlib.sha256(f"{self.machine.cpu} {self.machine.cores} {self.machine.threads}".encode())
        for path in pair.files:
            digest.update(_of_file(path).encode())
        if method in ours.METHODS:
            way = ours.WAYS[method]
            digest.update(f"{way} {identity(way.model or ours.DEFAULT)} {_card(way.model or ours.DEFAULT)}".encode())
            for code in (ours.library, ours.pre_alignment, ours.command):  # not the table of ways: one more is no news
                digest.update(inspect.getsource(code).encode())
        elif method != BEFORE:
            prepare, packages = peers.METHODS[method]
            digest.update(inspect.getsource(prepare).encode())
            digest.update(_versions(self.peer_python, packages).encode())
        return digest.hexdigest()


def _card(model: str) -> str:
    """How the model's images are prepared, and the like."""
    return repr(Catalogue().find(model).card)


@cache
def _of_file(path: Path) -> str:
    """Of what is in it: a compressed file also says when it was made."""
    content = path.read_bytes()
    return hashlib.sha256(gzip.decompress(content) if path.suffix == ".gz" else content).hexdigest()


@cache
def _judge() -> str:
    return hashlib.sha256(inspect.getsource(evaluation).encode()).hexdigest()


@cache
def _versions(python: Path, packages: tuple[str, ...]) -> str:
    """Of packages in the peers' interpreter."""
    ask = f"from importlib.metadata import version; print([version(name) for name in {packages!r}])"
    if not python.is_file():
        return "no interpreter"
    return subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True).stdout
