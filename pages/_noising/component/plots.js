// The linked plots: small canvases, all in the same scales, times and colours as the editor.

const PLOT_HEIGHTS = { heat: 210, spectrum: 200, bits: 180 };
const LOW_HEIGHTS = { heat: 104, spectrum: 164, bits: 164 };
const SNR_RANGE = 10;
const RAMPS = {
  light: [[140, 81, 10], [216, 179, 101], [245, 245, 243], [90, 180, 172], [1, 102, 94]],
  dark: [[204, 142, 62], [134, 92, 38], [30, 31, 34], [34, 112, 106], [72, 186, 172]],
};

/** Colours of the page, read once per theme. */
function readTheme(lab) {
  const style = getComputedStyle(lab.root);
  const color = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const dark = isDark(color("--st-background-color", "#ffffff"));
  lab.root.dataset.theme = dark ? "dark" : "light";
  const after = getComputedStyle(lab.root);
  const own = (name) => after.getPropertyValue(name).trim();
  lab.theme = {
    dark, text: color("--st-text-color", "#31333f"), back: color("--st-background-color", "#fff"),
    faint: own("--faint"), muted: own("--muted"), data: own("--data"), noise: own("--noise"),
    sides: [own("--side-a"), own("--side-b")], ramp: rampTable(RAMPS[dark ? "dark" : "light"]),
    font: `12px ${color("--st-font", "sans-serif")}`,
  };
  lab.backdrops = {};
  lab.heatOf = null;
  const stops = RAMPS[dark ? "dark" : "light"].map((stop) => `rgb(${stop})`);
  lab.el.ramp.style.background = `linear-gradient(90deg, ${stops})`;
}

function rampTable(stops) {
  const table = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const place = i / 255 * (stops.length - 1);
    const at = Math.min(Math.floor(place), stops.length - 2);
    const mix = (c) => Math.round(stops[at][c] + (place - at) * (stops[at + 1][c] - stops[at][c]));
    table[i] = (255 << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0);
  }
  return table;
}

/** A canvas in device pixels, cleared, with its frame; axes come from a drawing kept aside. */
function openPlot(lab, name, axes) {
  const canvas = lab.el[name];
  const ratio = window.devicePixelRatio || 1;
  const width = lab.widths[name] || 300;
  const height = lab.heights[name];
  const frame = frameOf(width, height);
  const key = JSON.stringify([width, height, ratio, axes]);
  let backdrop = lab.backdrops[name];
  if (!backdrop || backdrop.key !== key) {
    backdrop = { key, canvas: make("canvas", { width: width * ratio, height: height * ratio }) };
    const context = backdrop.canvas.getContext("2d");
    context.scale(ratio, ratio);
    drawAxes(lab, context, frame, axes);
    lab.backdrops[name] = backdrop;
  }
  if (canvas.width !== backdrop.canvas.width || canvas.height !== backdrop.canvas.height) {
    canvas.width = backdrop.canvas.width;
    canvas.height = backdrop.canvas.height;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(backdrop.canvas, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, frame };
}

function drawAxes(lab, context, frame, axes) {
  const { theme } = lab;
  context.font = theme.font;
  context.fillStyle = theme.muted;
  context.strokeStyle = theme.faint;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  for (const [v, text] of axes.yTicks) {
    const y = Math.round(frame.y(v)) + 0.5;
    strokeLine(context, [[frame.x(0), y], [frame.x(1), y]]);
    context.textAlign = "right";
    context.fillText(text, frame.x(0) - 7, y);
  }
  context.textAlign = "center";
  for (const [v, text] of axes.xTicks) context.fillText(text, frame.x(v), frame.y(0) + 11);
  context.fillText(axes.xLabel, frame.x(0.5), frame.height - 6);
  context.translate(10, frame.y(0.5));
  context.rotate(-Math.PI / 2);
  context.fillText(axes.yLabel, 0, 0);
}

function strokeLine(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

function scaleTicks(side) {
  if (!side.axis.discrete) return [[0, "0"], [0.5, "0.5"], [1, "1"]];
  const every = Math.max(1, Math.ceil(side.bands / 8));
  return side.nodes.flatMap((node, b) =>
    (b % every ? [] : [[placeOf(side, node), String(b + 1)]]));
}

function clipTo(context, frame) {
  context.save();
  context.beginPath();
  context.rect(frame.x(0), frame.y(1), frame.inner.width, frame.inner.height);
  context.clip();
}

function showPlots(lab) {
  const side = lab.message.sides[lab.active];
  const own = lab.state.sides[lab.active];
  const history = historyOf(lab.message, side, own);
  const moment = lab.moments[lab.active];
  const band = litBand(lab);
  showHeat(lab, side, history, band);
  showSpectrum(lab, side, moment, band);
  showBits(lab, side, moment, history, band);
  for (const name of ["heat", "spectrum", "bits"]) {
    setAttributes(lab.el[name], { "aria-valuemin": 0, "aria-valuemax": side.bands - 1,
      "aria-valuenow": band === null ? 0 : band,
      "aria-valuetext": band === null ? "no scale lit" : `${scaleName(side, band)}, data log-SNR `
        + signed(moment.logSnr[band]) });
  }
}

/** Log-SNR of the data over (t, scale), with the front of the schedule and of the data. */
function showHeat(lab, side, history, band) {
  const { theme, state } = lab;
  const { context, frame } = openPlot(lab, "heat", { xTicks: [[0, "0"], [0.5, "0.5"], [1, "1"]],
    yTicks: scaleTicks(side), xLabel: "time t: data → noise", yLabel: side.axis.label });
  if (!lab.heatOf || lab.heatOf !== history) {
    lab.heat = paintHeat(lab, side, history);
    lab.heatOf = history;
  }
  clipTo(context, frame);
  context.imageSmoothingEnabled = true;
  context.drawImage(lab.heat, frame.x(0), frame.y(1), frame.inner.width, frame.inner.height);
  const times = history.moments.map((_, i) => i / (FIELD_TIMES - 1));
  drawContour(lab, context, frame, side, history);
  if (side.path && side.bands > 1) {
    context.strokeStyle = theme.sides[lab.active];
    context.lineWidth = 2.5;
    context.setLineDash(lab.active ? [7, 4] : []);
    strokeLine(context, times.map((t, i) =>
      [frame.x(t), frame.y(placeOf(side, history.moments[i].front))]));
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
  setText(lab.el.heatText, `${side.path && side.bands > 1 ? "The thick line is the cutoff Λ(t); on" : "On"} the dotted `
    + "line data and noise are equal. Drag to move in time.");
}

const HEAT_ROWS = 96;

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

/** The line on which the data's SNR is 1: its crossing time, band by band. */
function drawContour(lab, context, frame, side, history) {
  context.strokeStyle = lab.theme.text;
  context.lineWidth = 1.5;
  context.setLineDash([2, 3]);
  const points = [];
  for (let b = 0; b < side.bands; b++) {
    const t = crossingTime(history, b);
    if (t === null) continue;
    if (side.axis.discrete || side.bands === 1) {
      const [from, to] = cellOf(side, b);
      points.push([frame.x(t), frame.y(from)], [frame.x(t), frame.y(to)]);
    } else points.push([frame.x(t), frame.y(side.nodes[b])]);
  }
  if (points.length > 1) strokeLine(context, points);
  context.setLineDash([]);
}

/** Power of data, noise and their mixture, per component, at time t. */
function showSpectrum(lab, side, moment, band) {
  const { theme, state } = lab;
  const [low, high] = powerRange(side);
  const decades = [];
  const every = Math.ceil((high - low) / 5);
  for (let d = low; d <= high; d += every) decades.push([(d - low) / (high - low), powerOfTen(d)]);
  const { context, frame } = openPlot(lab, "spectrum", { xTicks: spectrumTicks(side),
    yTicks: decades, xLabel: side.axis.label, yLabel: "power" });
  const at = (m, s) => (value, b) =>
    [frame.x(spectrumPlace(s, s.nodes[b])),
      frame.y((Math.log10(Math.max(value, 1e-30)) - low) / (high - low))];
  const noiseOf = (m) => m.tint.power.map((power, b) => power * m.sigma[b] ** 2);
  const mixtureOf = (m, s) =>
    noiseOf(m).map((power, b) => power + m.alpha[b] ** 2 * s.dataPower[b]);
  clipTo(context, frame);
  const draw = (values, color, width, dash, m, s) => {
    const points = Array.from(values, at(m, s));
    context.strokeStyle = color;
    context.lineWidth = width;
    context.setLineDash(dash);
    if (points.length === 1) points.push([frame.x(1), points[0][1]], [frame.x(0), points[0][1]]);
    strokeLine(context, points);
  };
  const rival = 1 - lab.active;
  if (lab.moments[rival] && !["a", "b"].includes(state.view)) {
    draw(mixtureOf(lab.moments[rival], lab.message.sides[rival]), theme.sides[rival], 1.5,
      rival ? [6, 4] : [], lab.moments[rival], lab.message.sides[rival]);
  }
  draw(side.dataPower, theme.data, 2, [], moment, side);
  draw(moment.tint.power, theme.noise, 2, [], moment, side);
  draw(noiseOf(moment), theme.noise, 2, [2, 3], moment, side);
  draw(mixtureOf(moment, side), theme.sides[lab.active], 2.5, lab.active ? [7, 4] : [], moment, side);
  context.setLineDash([]);
  if (band !== null) {
    drawStripe(lab, context, frame, cellOf(side, band).map((edge) =>
      (axisFloor(side) ? spectrumPlace(side, edge) : edge)));
  }
  context.restore();
  setText(lab.el.spectrumText, spectrumSentence(side, moment));
  const line = Array.from(moment.tint.power, at(moment, side));
  showColor(lab, side, state.sides[lab.active], line.map(([x, y], i) =>
    `${i ? "L" : "M"}${x.toFixed(1)} ${clamp(y, frame.y(1), frame.y(0)).toFixed(1)}`).join(""));
}

/** Ticks of the spectrum's scale axis, which is logarithmic where scales are many. */
function spectrumTicks(side) {
  const floor = axisFloor(side);
  if (!floor) return scaleTicks(side);
  const ticks = [0.01, 0.03, 0.1, 0.3, 1].filter((tick) => tick > 1.3 * floor);
  return [[0, "0"], ...ticks.map((tick) => [spectrumPlace(side, tick), String(tick)])];
}

function powerRange(side) {
  if (!side.range) {
    let [least, most] = [Infinity, 0];
    for (const power of [...side.dataPower, ...side.noisePower]) {
      if (power > 0) least = Math.min(least, power);
      most = Math.max(most, power);
    }
    const high = Math.ceil(Math.log10(most || 1) + 0.3);
    const low = Math.max(Math.floor(Math.log10(least)), high - 7);
    side.range = [Math.min(low, high - 3), high];
  }
  return side.range;
}

function spectrumSentence(side, moment) {
  const above = moment.logSnr.reduce((count, value) => count + (value > 0 ? 1 : 0), 0);
  if (above === side.bands) return "The data stand above the noise at every scale.";
  if (above === 0) return "The noise covers the data at every scale.";
  return `The data stand above the noise at ${above} of ${side.bands} scales.`;
}

function drawLit(lab, context, frame, side, band) {
  drawStripe(lab, context, frame, cellOf(side, band));
}

function drawStripe(lab, context, frame, [from, to]) {
  context.globalAlpha = 0.16;
  context.fillStyle = lab.theme.text;
  context.fillRect(frame.x(from), frame.y(1), Math.max(3, frame.x(to) - frame.x(from)),
    frame.inner.height);
  context.globalAlpha = 1;
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
  if (band !== null) drawLit(lab, context, frame, side, band);
  context.restore();
  const left = `${readable(moment.total)} bits of each image can still be recovered`;
  setText(lab.el.bitsText, side.information === "bound"
    ? `At most ${left}: components count as independent.` : `About ${left}.`);
}

function powerOfTen(exponent) {
  const digits = [...String(Math.abs(exponent))].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
  return exponent === 0 ? "1" : exponent === 1 ? "10" : `10${exponent < 0 ? "⁻" : ""}${digits}`;
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

/** Pointing at a scale lights it up; a click pins it; dragging the map moves in time. */
function wirePlots(lab) {
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
    on(lab, area, "pointermove", (event) => {
      if (event.pointerType === "mouse") setBand(lab, band(event), false);
    });
    on(lab, area, "pointerleave", () => setBand(lab, null, false));
  }
}
