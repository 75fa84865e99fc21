"""The plane of two sites: what the browser sums is the core's density and probability flow."""

import base64
import re

import numpy as np
import pytest
import torch
from container import unpack
from labpage import ref
from playwright.sync_api import Page, expect

import rgdiff_core as rg
from pages._noising.plane import script
from pages._noising.two_sites import Plane, message
from rgdiff_core.denoisers import TwoSites

pytestmark = pytest.mark.browser

TIMES = (0.1, 0.4, 0.9)
SCRIPT = """
export function follow(bytes, times) {
  const message = readPlane(bytes);
  const lab = { message, state: soundState(message, message.state) };
  return { lines: linesNow(lab), densities: times.map((t) => {
    const { alpha, std } = noiseAt(lab, t);
    return Array.from(noisedDensity(message.theory, alpha, std));
  }) };
}
"""
FOLLOW = """async ([source, data, times]) => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    return (await import(url)).follow(bytes, times);
}"""


def test_two_sites_are_chosen_by_a_press_and_their_time_plays(page: Page, app_url: str):
    page.goto(app_url)
    page.get_by_text("Two sites", exact=True).click()
    page.wait_for_url(re.compile("show=Two"))
    time = ref(page, "time")
    expect(time).to_have_count(1)  # that of the images has gone
    expect(time).to_have_value("0.3")
    ref(page, "play").press("Enter")
    expect(ref(page, "play")).to_have_attribute("aria-label", "Pause")
    expect(time).not_to_have_value("0.3")
    ref(page, "play").press("Enter")
    expect(ref(page, "play")).to_have_attribute("aria-label", "Play")
    page.keyboard.press("Control+z")
    expect(time).to_have_value("0.3")


def test_the_browser_paints_the_core(page: Page):
    plane = Plane()
    data = message(plane.to_json(), "revision")
    told = page.evaluate(FOLLOW, [script() + SCRIPT, base64.b64encode(data).decode(), list(TIMES)])
    arrays = unpack(data)[1]
    theory = TwoSites(plane.m2, plane.lam)
    process = rg.Process(theory.basis, plane.side.color, plane.side.schedule, theory.modes)
    axis = torch.from_numpy(arrays["axis"][::7].copy()).double()
    c = torch.cartesian_prod(axis, axis)[:, None, None]
    for t, painted in zip(TIMES, told["densities"], strict=True):
        n = len(arrays["axis"])
        found = np.array(painted).reshape(n, n)[::7, ::7]
        wanted = theory.log_density(c, process.marginal(t)).exp().view(len(axis), -1).numpy()
        scale = (found * wanted).sum() / (wanted**2).sum()
        assert np.abs(found - scale * wanted).max() < 0.02
    starts = torch.from_numpy(arrays["starts"].copy()).double().view(-1, 1, 1, 2)
    lines = torch.tensor(told["lines"], dtype=torch.float64)
    prior = process.prior()
    x = theory.basis.synthesize(prior.std * starts)
    torch.testing.assert_close(lines[:, -1], (prior.std * starts)[:, 0, 0], rtol=1e-3, atol=1e-3)
    steps = 120
    for i in range(steps, 0, -1):  # DDIM of the core, in finer steps than the browser's
        marginal, after = (process.marginal(k / steps) for k in (i, i - 1))
        z = theory.basis.analyze(x)
        mean = theory.posterior(z, marginal).mean
        x = theory.basis.synthesize(
            after.alpha * mean + after.std * (z - marginal.alpha * mean) / marginal.std
        )
    ends = theory.basis.analyze(x)[:, 0, 0]
    assert float((lines[:, 0] - ends).abs().median()) < 0.05
    assert (torch.sign(lines[:, 0, 0]) == torch.sign(ends[:, 0])).double().mean() > 0.95
