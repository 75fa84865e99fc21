"""Whether a config of the Training page fits its data, and the sentence where it does not."""

import types
from dataclasses import replace

import pytest
import torch

from pages._training import form
from rgdiff_core.training import PRESETS
from rgdiff_core.training.noise_levels import Universal


def test_more_processes_than_memory_holds_are_a_sentence(monkeypatch: pytest.MonkeyPatch):
    large = types.SimpleNamespace(images=torch.empty(2, 3, 256, 256), labels=None, line=None)
    monkeypatch.setattr(form.cache, "images", lambda name: large)
    found = form.fit(replace(PRESETS["phi4-2min"].config, noise=Universal(4096)))
    assert found is not None and "processes = 4096" in found and "at most 113" in found
