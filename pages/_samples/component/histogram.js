// The distribution of the magnetization M: samples at this step, and the data at the same time.

const HISTOGRAM_HEIGHT = 128;
const REFERENCE_MS = 3000;
const HISTOGRAM_MARGIN = { left: 14, right: 14, top: 8, bottom: 34 };

/** The i-th frame's part of a message's histograms; null without any. */
function histogramPart(message, i) {
  if (!message.has("distribution")) return null;
  const { values, shape } = message.take("distribution");
  const bins = shape[2];
  const part = (kind) => values.subarray((2 * i + kind) * bins, (2 * i + kind + 1) * bins);
  const reference = message.has("reference")
    ? message.take("reference").values.subarray(i * bins, (i + 1) * bins) : null;
  return { density: part(0), error: part(1), reference };
}

/** Asks once more when a reference, which was being generated, may be there. */
function awaitReference(lab, pending) {
  clearTimeout(lab.referenceTimer);
  if (!pending) return;
  const { seq } = lab;
  lab.referenceTimer = setTimeout(() => {
    if (lab.seq === seq && !lab.gesture && !lab.asked && !lab.gone) ask(lab);
  }, REFERENCE_MS);
}

/** The largest of 1, 2 or 5 times a power of ten that is not above a value. */
function roundStep(value) {
  const decade = 10 ** Math.floor(Math.log10(value));
  return decade * [5, 2, 1].find((digit) => digit * decade <= value * (1 + 1e-9));
}

function sizeHistogram(lab) {
  const svg = lab.el.histogram;
  const width = Math.max(240, svg.clientWidth || 480);
  if (lab.histogramWidth === width) return;
  lab.histogramWidth = width;
  svg.setAttribute("viewBox", `0 0 ${width} ${HISTOGRAM_HEIGHT}`);
  svg.setAttribute("height", HISTOGRAM_HEIGHT);
  const { left, right, bottom } = HISTOGRAM_MARGIN;
  const floor = HISTOGRAM_HEIGHT - bottom;
  const { limit } = lab.message.magnetization;
  const grid = makeSvg("g", { class: "grid" });
  grid.append(makeSvg("line", { x1: left, x2: width - right, y1: floor, y2: floor }));
  const step = roundStep(limit / 2);
  for (let i = -Math.floor(limit / step); i * step <= limit; i += 1) {
    const x = left + (i * step / limit + 1) / 2 * (width - left - right);
    grid.append(makeSvg("line", { x1: x, x2: x, y1: floor, y2: floor + 4 }));
    grid.append(label(tidy(i * step).replace("-", "−"), x, floor + 16, "middle"));
  }
  grid.append(label("magnetization M of a field", width / 2, HISTOGRAM_HEIGHT - 2, "middle"));
  lab.histogramShapes = Object.fromEntries(["reference", "samples", "bars"].map((name) =>
    [name, makeSvg("path", { class: name })]));
  svg.replaceChildren(grid, ...Object.values(lab.histogramShapes));
}

/** The highest density that a draw has anywhere on its way, so that the axis stands still. */
function histogramTop(draw) {
  if (draw.topOf !== draw.frames.length) {
    draw.topOf = draw.frames.length;
    draw.top = Math.max(1e-9, ...draw.frames.flatMap(({ distribution: each }) =>
      (each ? [...each.density, ...(each.reference || [])] : [])));
  }
  return 1.08 * draw.top;
}

function showHistogram(lab) {
  const { el, message } = lab;
  toggle(el.histogramPanel, Boolean(message.magnetization));
  const frame = frameShown(lab);
  if (!message.magnetization) return;
  sizeHistogram(lab);
  setAttributes(el.histogramLegend, { "data-empty": !frame || !frame.distribution });
  if (!frame || !frame.distribution) return;
  const { density, error, reference } = frame.distribution;
  const { left, right, top, bottom } = HISTOGRAM_MARGIN;
  const bins = density.length;
  const most = histogramTop(lab.draw);
  const x = (bin) => left + bin / bins * (lab.histogramWidth - left - right);
  const y = (value) => HISTOGRAM_HEIGHT - bottom
    - Math.min(1, Math.max(0, value) / most) * (HISTOGRAM_HEIGHT - top - bottom);
  const at = (bin, value) => `${x(bin).toFixed(1)} ${y(value).toFixed(1)}`;
  const steps = (values) => `M${x(0)} ${y(0)}`
    + Array.from(values, (value, i) => `L${at(i, value)}L${at(i + 1, value)}`).join("")
    + `L${x(bins)} ${y(0)}`;
  setAttributes(lab.histogramShapes.reference, { d: reference ? steps(reference) : "" });
  setAttributes(lab.histogramShapes.samples, { d: steps(density) });
  setAttributes(lab.histogramShapes.bars, { d: Array.from(density, (value, i) => (value
    ? `M${at(i + 0.5, value - error[i])}V${y(value + error[i]).toFixed(1)}`
    : "")).join("") });
  toggle(el.histogramKnown, Boolean(reference));
  setText(el.histogramCount, `${frame.n} samples`);
  setText(el.histogramTime,
    frame.time > 0 ? `data noised to t = ${frame.time.toFixed(2)}` : "data (Monte Carlo)");
  setAttributes(el.histogram, { "data-step": frame.step,
    "aria-label": `Distribution of the magnetization of ${frame.n} samples `
      + `at time ${frame.time.toFixed(2)}` });
}
