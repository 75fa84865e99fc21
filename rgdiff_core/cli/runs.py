"""`rgdiff runs`: the registry from the command line."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from rgdiff_core.cli.base import Entries, Entry, Work, no_options
from rgdiff_core.cli.train import config_from, config_options, weights_option
from rgdiff_core.spec import check_whole
from rgdiff_core.terminal import duration
from rgdiff_core.training import runs
from rgdiff_core.training.runs import Run

__all__ = ["COMMANDS"]


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="see `rgdiff runs list`; or a unique prefix")


def _submit_options(parser: argparse.ArgumentParser) -> None:
    config_options(parser)
    parser.add_argument("--title", default="", help="display name")
    weights_option(parser)


def _rename_options(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("title", metavar="TITLE", help="at most 80 characters")


def _log_options(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--lines", type=int, default=40, help="how many (default 40)")


def _find(text: str) -> Run:
    """Return the run whose id this is, or the only one whose id begins with it."""
    found = [run for run in runs.list_runs() if run.id.startswith(text)]
    exact = [run for run in found if run.id == text]
    if not text or len(exact or found) != 1:
        many = f"{len(found)} runs begin" if found else "no run begins"
        raise ValueError(f"{many} with {text!r}.")
    return (exact or found)[0]


def _plain(run: Run) -> dict[str, Any]:
    data = asdict(run)
    data["config"] = None if run.config is None else run.config.to_json()
    return data


def _line(run: Run) -> str:
    step = f"{run.status.step}/{run.status.steps}" if run.status else "-"
    left = ""
    if run.state == "running" and run.status and run.status.eta_s is not None:
        left = f"  {duration(run.status.eta_s)} left"
    return f"{run.id:48}  {run.state:9}  {step:>15}  {run.title}{left}"


def _list(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    del chosen
    _look_after()
    listed = runs.list_runs()
    lines = [line for run in listed for line in (_line(run), *_problems(run))]
    return [_plain(run) for run in listed], lines or ["no runs"]


def _look_after() -> None:
    """Look after the queue; where that can't be done, what is known of the runs is shown still."""
    try:
        runs.pump()
    except (ValueError, OSError) as error:
        print(f"rgdiff: {error}", file=sys.stderr)


def _problems(run: Run) -> list[str]:
    return [f"  {each}" for each in run.problems]


def _show(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    _look_after()
    run = _find(chosen.id)
    lines = [_line(run), *filter(None, [run.message]), *_problems(run)]
    if run.config is not None:
        lines.append(run.config.to_json())
    return _plain(run), lines


def _submit(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    run = runs.submit(config_from(chosen), chosen.title, chosen.weights)
    return _plain(run), [_line(run)]


def _acting(
    act: Callable[[str], None],
) -> Work:
    def run(chosen: argparse.Namespace) -> tuple[object, list[str]]:
        runs.pump()
        found = _find(chosen.id)
        act(found.id)
        after = runs.get(found.id)
        return _plain(after), [_line(after) + ("  stopping" if after.stopping else "")]

    return run


def _delete(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    runs.pump()
    run = _find(chosen.id)
    runs.delete(run.id)
    return {"deleted": run.id}, [f"deleted {run.id}"]


def _rename(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    return _acting(lambda run_id: runs.rename(run_id, chosen.title))(chosen)


def _log(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    check_whole("lines", chosen.lines, 1, 1_000_000)
    text = runs.log_tail(_find(chosen.id).id, chosen.lines)
    return {"log": text}, text.splitlines()


def _path(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    path = str(runs.run_folder(_find(chosen.id).id))
    return {"path": path}, [path]


def _follow(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    run, offset = _find(chosen.id), 0
    while True:
        runs.pump()
        run = runs.get(run.id)
        rows, offset = runs.history(run.id, offset)
        if not chosen.json:
            for row in rows:
                print(_point(row), flush=True)
        if not run.active:
            return _plain(run), [_line(run), *filter(None, [run.message])]
        if not rows and sys.stderr.isatty() and run.status is not None:
            print(f"\r\033[Kstep {run.status.step}", end="\r", file=sys.stderr, flush=True)
        time.sleep(1)


def _point(row: Mapping[str, Any]) -> str:
    if "held_out" in row:
        value = row["held_out"]
        error = value["gain_error"]
        text = f"step {row['step']}: held-out gain {value['gain']:+.5f}"
        return text if error is None else f"{text} ± {error:.5f}"
    return f"step {row['step']}: loss {row['loss']}, gain {row['gain']}"


COMMANDS: Entries = {
    "list": Entry(no_options, _list),
    "show": Entry(_id, _show),
    "submit": Entry(_submit_options, _submit),
    "pause": Entry(_id, _acting(runs.pause)),
    "resume": Entry(_id, _acting(runs.resume)),
    "cancel": Entry(_id, _acting(runs.cancel)),
    "rename": Entry(_rename_options, _rename),
    "delete": Entry(_id, _delete),
    "log": Entry(_log_options, _log),
    "follow": Entry(_id, _follow),
    "path": Entry(_id, _path),
}
