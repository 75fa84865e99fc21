"""Whole servers by hand: one that is killed loses nothing, two share a queue.

RGDIFF_KILLS says how often the first is killed, while it queues a run, draws and keeps images.
"""

import json
import os
import random
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from playwright.sync_api import Browser, Page, expect
from websockets.sync.client import connect
from websockets.typing import Origin

from pages._samples.state import start
from rgdiff_core import data
from rgdiff_core.files.atomic import write_text
from rgdiff_core.training import PRESETS, TrainConfig, runs
from rgdiff_core.training.checkpoint import load_checkpoint
from rgdiff_core.training.runs import queue
from tests.browser.conftest import running, started

KILLS = int(os.environ.get("RGDIFF_KILLS", "0"))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(0),
    pytest.mark.skipif(not KILLS, reason="by hand: RGDIFF_KILLS=20"),
]
MAX_SECONDS = 4.0  # seconds from the first write to the kill
IMAGES = 400
SUBMITS = 3  # runs that each of two servers queues
SHORT = (
    '{"data":"phi4-6x6","steps":4,"batch":8,"limit":200,'
    '"model":{"kind":"ModelSpec","network":"lattice-small"}}'
)
CONFIG = replace(
    PRESETS["phi4-2min"].config, steps=10**6, batch=8, checkpoint_seconds=0.2, limit=200
)


def enter(config: TrainConfig) -> str:
    """Queue a run, which the server starts, for nobody here looks after the queue."""
    with queue.entered("ours", "ours", "queued") as (run_id, folder):
        write_text(folder / "config.json", config.to_json())
    return run_id


def wait_for_step(run_id: str, least: int) -> None:
    """Wait until a run's last checkpoint is of a step beyond this one."""
    end = time.monotonic() + PATIENCE
    while step_of(run_id) <= least:
        assert time.monotonic() < end, runs.get(run_id)
        time.sleep(0.1)


def step_of(run_id: str) -> int:
    kept = load_checkpoint(runs.run_folder(run_id) / "checkpoint", CONFIG)  # sound, or it raises
    return kept.step if kept else -1


def visit_training(page: Page, url: str) -> None:
    page.goto(f"{url}/training?config={SHORT}")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()


def submit(page: Page) -> None:
    page.get_by_role("button", name="Start", exact=True).click()


def visit_spectra(page: Page, url: str) -> None:
    page.goto(f"{url}/spectra?data=phi4-6x6")
    page.get_by_text("Your own images").click()


def sound_runs() -> set[str]:
    """Return the ids of all runs, none of which is damaged or lost."""
    listed = runs.list_runs()
    assert [(run.problems, run.missing) for run in listed] == [((), False)] * len(listed)
    return {run.id for run in listed if run.state in ("queued", "running")}


def sound_sets() -> set[str]:
    """Return the names of the sets that were kept, all of which are whole."""
    names = {each.name for each in data.brought()}
    for name in names:
        splits = [data.load(name, split).images for split in ("train", "test")]
        assert sum(map(len, splits)) == IMAGES
    return names


def test_a_killed_server_loses_nothing(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    data.load("phi4-6x6", limit=1)  # made once
    chance, run_id, step = random.Random(0), enter(CONFIG), -1
    queued, kept = {run_id}, set[str]()
    slow = replace(start(), setting=replace(start().setting, method="rk4", steps=200))
    told = {"kind": "draw", "seq": 1, "page_state": json.loads(slow.to_json())}
    message = json.dumps(told | {"client_state": slow.component()})
    app = None
    try:
        for kill in range(KILLS + 1):
            app, url = started("app.py", tmp_path)
            with browser.new_context() as context:
                context.set_default_timeout(1000 * PATIENCE)
                training, spectra = context.new_page(), context.new_page()
                visit_training(training, url)
                wait_for_step(run_id, step)
                if kill == KILLS:
                    break
                visit_spectra(spectra, url)
                fields = tmp_path / f"set-{kill}.npz"
                np.savez(fields, images=np.random.default_rng(kill).random((IMAGES, 16, 16)))
                address = url.replace("http", "ws") + "/live/samples"
                with connect(address, origin=Origin(url), ping_interval=None) as socket:
                    socket.send(message)
                    submit(training)
                    spectra.locator('input[type="file"]').first.set_input_files(fields)
                    time.sleep(chance.uniform(0, MAX_SECONDS))
                    app.kill()
                    app.wait()
            assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
            step = step_of(run_id)
            there, names = sound_runs(), sound_sets()
            assert queued <= there and kept <= names
            queued, kept = there, names
            print(
                f"kill {kill + 1}: step {step}, {len(queued)} runs, {len(kept)} sets", flush=True
            )
        assert runs.get(run_id).state == "running"  # its worker outlives the server
    finally:
        if app is not None:
            app.kill()
            app.wait()
        for run in runs.list_runs():
            if run.active:
                runs.cancel(run.id)


def test_two_servers_share_a_queue(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every run is started once and ends, whoever has queued it and whoever looks after it."""
    for name, variable in (("cache", "RGDIFF_CACHE"), ("runs", "RGDIFF_RUNS")):
        monkeypatch.setenv(variable, str(tmp_path / name))
        (tmp_path / name).mkdir()
    data.load("phi4-6x6", limit=1)
    with ExitStack() as stack:
        pages = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            for part in ("cache", "runs"):
                (tmp_path / name / part).symlink_to(tmp_path / part)
            url = stack.enter_context(running("app.py", tmp_path / name))
            pages.append(stack.enter_context(browser.new_context()).new_page())
            pages[-1].set_default_timeout(1000 * PATIENCE)
            visit_training(pages[-1], url)
        for count in range(2, 2 * SUBMITS + 1, 2):
            for page in pages:
                submit(page)
            while len(runs.list_runs()) < count:
                time.sleep(0.1)
        listed = runs.list_runs()
        while any(run.active for run in listed):
            assert sum(run.state == "running" for run in listed) <= 1  # RGDIFF_SLOTS
            time.sleep(0.2)
            listed = runs.list_runs()
    assert [run.state for run in listed] == ["finished"] * 2 * SUBMITS
    for name in ("one", "other"):
        assert "Traceback" not in (tmp_path / name / "log").read_text(encoding="utf-8")
