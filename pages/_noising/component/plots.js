// The linked plots: small canvases, all in the same scales, times and colours as the editor.

const SNR_RANGE = 10;

function showPlots(lab) {
  const side = lab.message.sides[lab.active];
  const own = lab.state.sides[lab.active];
  const history = historyOf(lab.message, side, own);
  const moment = lab.moments[lab.active];
  const band = litBand(lab);
  showHeat(lab, side, history, band);
  const other = 1 - lab.active;
  const compared = lab.moments[other] && !["a", "b"].includes(lab.state.view);
  showSpectrum(lab, side, own, moment, { band, rival: compared && {
    index: other, side: lab.message.sides[other], moment: lab.moments[other] } });
  setText(lab.el.spectrumText, spectrumSentence(side, moment));
  showBits(lab, side, moment, history, band);
  for (const name of ["heat", "spectrum", "bits"]) {
    setAttributes(lab.el[name], { "aria-valuemin": 0, "aria-valuemax": side.bands - 1,
      "aria-valuenow": band === null ? 0 : band,
      "aria-valuetext": band === null ? "no scale lit" : `${scaleName(side, band)}, data log-SNR `
        + signed(moment.logSnr[band]) });
  }
}

/** Log-SNR of the data over (t, scale), with the cutoff and the line of equal data and noise. */
function showHeat(lab, side, history, band) {
  const { theme, state } = lab;
  const { context, frame } = openPlot(lab, "heat", { xTicks: [[0, "0"], [0.5, "0.5"], [1, "1"]],
    yTicks: scaleTicks(side, Math.floor(frameOf(0, lab.heights.heat).inner.height / LABEL_HEIGHT)),
    xLabel: "time t: data → noise", yLabel: side.axis.label });
  if (!lab.heatOf || lab.heatOf !== history) {
    lab.heat = paintHeat(lab, side, history);
    lab.heatOf = history;
  }
  clipTo(context, frame);
  context.imageSmoothingEnabled = true;
  context.drawImage(lab.heat, frame.x(0), frame.y(1), frame.inner.width, frame.inner.height);
  const times = history.moments.map((_, i) => i / (FIELD_TIMES - 1));
  const equal = contourOf(side, history);
  drawContour(lab, context, frame, equal);
  const isLine = side.path && side.cutoff && side.bands > 1;
  if (isLine) {
    context.strokeStyle = theme.sides[lab.active];
    context.lineWidth = 2.5;
    context.setLineDash(lab.active ? [7, 4] : []);
    strokeLine(context, times.map((t, i) =>
      [frame.x(t), frame.y(placeOf(side, history.moments[i].cutoff))]));
  }
  context.setLineDash([]);
  if (band !== null) {
    const [from, to] = cellOf(side, band);
    context.strokeStyle = theme.text;
    context.lineWidth = 1.5;
    context.strokeRect(frame.x(0) + 1, frame.y(to), frame.inner.width - 2,
      Math.max(3, frame.y(from) - frame.y(to)));
  }
  context.strokeStyle = theme.text;
  context.lineWidth = 1.5;
  strokeLine(context, [[frame.x(state.t), frame.y(0)], [frame.x(state.t), frame.y(1)]]);
  context.restore();
  const cutoff = isLine ? history.moments.map((moment) => placeOf(side, moment.cutoff)) : null;
  const apart = LINES_APART + (side.axis.discrete ? 0.5 / side.bands : 0); // of its steps' ends
  setText(lab.el.heatText, `${linesSentence(equal, cutoff, apart)}Drag to move in time.`);
}

/** What the lines of the map are: the cutoff over time, and where data and noise are equal. */
function linesSentence(equal, cutoff, apart) {
  if (equal.length < 2) return cutoff ? "The thick line is the cutoff Λ(t). " : "";
  if (!cutoff) return "On the dotted line data and noise are equal. ";
  const same = equal.every(([t, place]) => Math.abs(between(cutoff, t) - place) < apart);
  return same ? "On the thick line, the cutoff Λ(t), data and noise are equal. "
    : "The thick line is the cutoff Λ(t); on the dotted line data and noise are equal. ";
}

const HEAT_ROWS = 96;
const LINES_APART = 0.02; // of the map's height, below which one line hides the other

function paintHeat(lab, side, history) {
  const canvas = make("canvas", { width: FIELD_TIMES, height: HEAT_ROWS });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(FIELD_TIMES, HEAT_ROWS);
  const packed = new Uint32Array(pixels.data.buffer);
  for (let row = 0; row < HEAT_ROWS; row++) {
    const { low, share } = mixAt(side, 1 - (row + 0.5) / HEAT_ROWS);
    for (let i = 0; i < FIELD_TIMES; i++) {
      const { logSnr } = history.moments[i];
      const value = share ? (1 - share) * logSnr[low] + share * logSnr[low + 1] : logSnr[low];
      const level = Math.round((value / SNR_RANGE + 1) * 127.5);
      packed[row * FIELD_TIMES + i] = lab.theme.ramp[clamp(level, 0, 255)];
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** The two bands about a place on the scale axis, and the share of the upper one. */
function mixAt(side, place) {
  if (side.axis.discrete || side.bands === 1) return { low: bandAt(side, place), share: 0 };
  const { nodes } = side;
  let low = 0;
  while (low < side.bands - 2 && place > nodes[low + 1]) low++;
  return { low, share: clamp((place - nodes[low]) / (nodes[low + 1] - nodes[low]), 0, 1) };
}

/** The line on which the data's SNR is 1, (t, place): its crossing time, band by band. */
function contourOf(side, history) {
  const points = [];
  for (let b = 0; b < side.bands; b++) {
    const t = crossingTime(history, b);
    if (t === null) continue;
    if (side.axis.discrete || side.bands === 1) {
      const [from, to] = cellOf(side, b);
      points.push([t, from], [t, to]);
    } else points.push([t, side.nodes[b]]);
  }
  return points;
}

function drawContour(lab, context, frame, points) {
  if (points.length < 2) return;
  context.strokeStyle = lab.theme.text;
  context.lineWidth = 1.5;
  context.setLineDash([2, 3]);
  strokeLine(context, points.map(([t, place]) => [frame.x(t), frame.y(place)]));
  context.setLineDash([]);
}

function spectrumSentence(side, moment) {
  const above = moment.logSnr.reduce((count, value) => count + (value > 0 ? 1 : 0), 0);
  if (above === side.bands) return "The data stand above the noise at every scale.";
  if (above === 0) return "The noise covers the data at every scale.";
  return `The data stand above the noise at ${above} of ${side.bands} scales.`;
}

/** Bits left per component of every band, as bars before the outline of what there was at t = 0. */
function showBits(lab, side, moment, history, band) {
  const { theme } = lab;
  const most = history.mostBits || 1;
  const { context, frame } = openPlot(lab, "bits", { xTicks: scaleTicks(side),
    yTicks: roundTicks(most),
    xLabel: side.axis.label, yLabel: "bits / component" });
  clipTo(context, frame);
  const edges = side.nodes.map((_, b) => cellOf(side, b).map((edge) => Math.round(frame.x(edge))));
  const gap = edges.every(([from, to]) => to - from >= 4) ? 1 : 0;
  const bars = (bits, color, alpha) => {
    context.fillStyle = color;
    context.globalAlpha = alpha;
    bits.forEach((value, b) => {
      const [from, to] = edges[b];
      context.fillRect(from, frame.y(value / most), to - from - gap,
        frame.y(0) - frame.y(value / most));
    });
    context.globalAlpha = 1;
  };
  bars(history.moments[0].bits, theme.muted, 0.25);
  bars(moment.bits, theme.sides[lab.active], 0.9);
  if (band !== null) drawStripe(lab, context, frame, cellOf(side, band));
  context.restore();
  setText(lab.el.bitsText, bitsSentence(lab, side, moment));
}

/** How many bits are left, and by which covariance of the data. */
function bitsSentence(lab, side, moment) {
  const own = lab.exact && lab.exact.bits[lab.active];
  const known = typeof own === "number";
  const left = `${readable(known ? own : moment.total)} bits of each ${pictureName(lab)} can still be recovered`;
  if (known) return `About ${left}, by the data's full covariance.`;
  if (side.information === "exact") return `About ${left}.`;
  return `At most ${left}, counting components as independent.`;
}

/** Two to five ticks at round numbers, on an axis from 0 to `most`. */
function roundTicks(most) {
  const decade = 10 ** Math.floor(Math.log10(most / 2));
  const step = [5, 2, 1].map((s) => s * decade).find((s) => most / s >= 2) || decade;
  const ticks = [];
  for (let value = 0; value <= most; value += step) ticks.push([value / most, shortNumber(value)]);
  return ticks;
}

/** A number to three digits, with its thousands set apart. */
function readable(value) {
  return Number(value.toPrecision(3)).toLocaleString("en");
}

function shortNumber(value) {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (value >= 1e3) return `${Number((value / 1e3).toPrecision(3))}k`;
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(2)));
}

/**
 * Pointing at a scale lights it up, but not while the noise is dragged and until the mouse has left
 * the plot; a click pins it; dragging the map moves in time.
 */
function wirePlots(lab) {
  setAttributes(lab.el.spectrum, { tabindex: 0, role: "slider", "aria-orientation": "vertical",
    "aria-label": "Scale, in the spectrum" });
  for (const name of ["heat", "spectrum", "bits"]) {
    const canvas = lab.el[name];
    const upright = name === "heat";
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const frame = frameOf(box.width, lab.heights[name]);
      return { t: frame.t(event.clientX - box.left), v: frame.v(event.clientY - box.top) };
    };
    const band = (event) => {
      const { t, v } = place(event);
      const side = lab.message.sides[lab.active];
      if (Math.min(t, v) < -0.05 || Math.max(t, v) > 1.05) return null;
      if (name === "spectrum" && axisFloor(side)) return bandAt(side, scaleAt(side, t));
      return bandAt(side, upright ? v : t);
    };
    const scrub = (event) => (upright ? setTime(lab, place(event).t)
      : setBand(lab, band(event), true));
    dragOn(lab, canvas, (event) => {
      setBand(lab, band(event), true);
      if (upright) scrub(event);
    }, scrub);
    const area = name === "spectrum" ? lab.el.draw : canvas; // its handles lie above it
    let dragged = false;
    on(lab, area, "pointerdown", (event) => {
      if (event.target === canvas) return;
      dragged = true;
      setBand(lab, null, false);
    });
    on(lab, area, "pointermove", (event) => {
      if (event.pointerType === "mouse" && !dragged) setBand(lab, band(event), false);
    });
    on(lab, area, "pointerleave", () => {
      dragged = false;
      setBand(lab, null, false);
    });
  }
}
