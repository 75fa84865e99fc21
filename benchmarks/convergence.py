"""How fast the deterministic samplers converge to the probability flow of a learned model of φ⁴.

The distance of 32 samples from those of the converged flow (the interaction picture in 640
steps), in units of the fields' deviation, against evaluations of the network, with matched noise
and a sigmoid cutoff. Writes `results/convergence.json` and the plot `results/convergence.png`.
"""

import math
import tempfile
from pathlib import Path

import plotly.graph_objects as go
import torch
from _report import RESULTS, machine, no_options, table, write
from playwright.sync_api import sync_playwright

import rgdiff_core as rg
from rgdiff_core.sampling import METHODS, reverse

STEPS = (5, 10, 20, 40, 80, 160)
MODELS = ("phi4-6x6", "phi4-6x6-broken")
CHROMIUM = Path("/usr/bin/chromium")  # else Playwright's own
WIDTH, HEIGHT = 1000, 420


@torch.no_grad()
def distances(name: str, samples: int = 32) -> dict[str, list[float]]:
    """Return the distance from the flow by method, one for each of STEPS."""
    model = rg.load_pretrained(name).double()
    schedule = rg.schedules.Cutoff(rg.schedules.SigmoidKernel(0.3), gamma_min=-9.0, gamma_max=6.0)
    process = rg.Process(model.basis, rg.colors.Matched(), schedule, model.modes)
    prior, generator = model.prior(process), torch.Generator().manual_seed(0)
    noise = torch.randn(samples, *model.basis.shape, generator=generator, dtype=torch.float64)
    c = prior.mean + prior.std * noise

    def end(method: str, steps: int) -> torch.Tensor:
        *_, last = reverse(model, process, c, steps, method)
        return last.x

    flow = end("interaction", 4 * STEPS[-1])
    return {
        name: [float((end(name, n) - flow).square().mean().sqrt() / flow.std()) for n in STEPS]
        for name, method in METHODS.items()
        if method.ode
    }


def figure(found: dict[str, dict[str, list[float]]]) -> go.Figure:
    """Draw the distances of all models beside each other."""
    plot = go.Figure().set_subplots(1, len(found), subplot_titles=list(found), shared_yaxes=True)
    for column, curves in enumerate(found.values(), 1):
        for index, (name, values) in enumerate(curves.items()):
            method = METHODS[name]
            plot.add_scatter(
                x=[n * method.evaluations for n in STEPS],
                y=values,
                name=method.title,
                legendgroup=name,
                showlegend=column == 1,
                line={"color": f"hsl({72 * index}, 60%, 45%)"},
                row=1,
                col=column,
            )
    plot.update_xaxes(type="log", title="evaluations of the network")
    plot.update_yaxes(type="log", exponentformat="power")
    plot.update_yaxes(title="distance from the flow", col=1)
    plot.update_layout(template="plotly_white", width=WIDTH, height=HEIGHT)
    return plot


def save(plot: go.Figure, path: Path) -> None:
    """Write a plot as PNG, drawn by a browser."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        page_path = Path(folder) / "plot.html"
        plot.write_html(page_path)
        executable = str(CHROMIUM) if CHROMIUM.exists() else None
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(page_path.as_uri())
        page.wait_for_selector(".legend")
        page.screenshot(path=path)
        browser.close()


def main() -> None:
    """Measure, print the tables with the last observed order, write JSON and plot."""
    torch.set_num_threads(1)
    before = machine()
    found = {name: distances(name) for name in MODELS}
    for title, curves in found.items():
        rows = [[n, *v, math.log2(v[-2] / v[-1])] for n, v in curves.items()]
        print(table([title, *(f"{n} steps" for n in STEPS), "order"], rows), end="\n\n")
    save(figure(found), RESULTS / "convergence.png")
    write("convergence", before, {"steps": STEPS, "distance": found})


if __name__ == "__main__":
    no_options(__doc__)
    main()
