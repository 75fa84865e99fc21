// Small canvases: their sizes, colours, axes and lines.

const PLOT_HEIGHTS = { heat: 210, spectrum: 200, bits: 180 };
const LOW_HEIGHTS = { heat: 104, spectrum: 164, bits: 164 };
const LABEL_HEIGHT = 14; // pixels of a tick's label
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
  if (lab.el.ramp) lab.el.ramp.style.background = `linear-gradient(90deg, ${stops})`;
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
    drawPlotAxes(lab, context, frame, axes);
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

function drawPlotAxes(lab, context, frame, axes) {
  const { theme } = lab;
  context.font = theme.font;
  context.fillStyle = theme.muted;
  context.strokeStyle = theme.faint;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  const upright = ([v]) => [frame.y(v) - LABEL_HEIGHT / 2, frame.y(v) + LABEL_HEIGHT / 2];
  for (const [v, text] of withoutOverlap(axes.yTicks, upright)) {
    const y = Math.round(frame.y(v)) + 0.5;
    strokeLine(context, [[frame.x(0), y], [frame.x(1), y]]);
    context.textAlign = "right";
    context.fillText(text, frame.x(0) - 7, y);
  }
  context.textAlign = "center";
  const level = ([v, text]) => {
    const half = context.measureText(text).width / 2 + 3;
    return [frame.x(v) - half, frame.x(v) + half];
  };
  for (const [v, text] of withoutOverlap(axes.xTicks, level)) {
    context.fillText(text, frame.x(v), frame.y(0) + 11);
  }
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

/** The ticks of which no two labels meet, the ends before the others; `extent` gives a label's. */
function withoutOverlap(ticks, extent) {
  const kept = [];
  for (const tick of [...ticks.slice(0, 1), ...ticks.slice(1).reverse()]) {
    const [from, to] = extent(tick);
    const meets = (other) => from < extent(other)[1] && to > extent(other)[0];
    if (!kept.some(meets)) kept.push(tick);
  }
  return kept;
}

/** Ticks of the scale axis: at most so many numbers of counted scales, else round values. */
function scaleTicks(side, most = 8) {
  const { axis, bands } = side;
  const round = [[0, "0"], [0.5, "0.5"], [1, "1"]];
  if (!axis.discrete) return round;
  if (!axis.counted && bands > 1) {
    return round.map(([node, text]) => [placeOf(side, node), text])
      .filter(([place]) => place >= 0 && place <= 1);
  }
  const every = Math.max(1, Math.ceil(bands / most));
  return side.nodes.flatMap((node, b) =>
    (b % every ? [] : [[placeOf(side, node), axis.counted ? String(b + 1) : node.toFixed(2)]]));
}

function clipTo(context, frame) {
  context.save();
  context.beginPath();
  context.rect(frame.x(0), frame.y(1), frame.inner.width, frame.inner.height);
  context.clip();
}

function drawStripe(lab, context, frame, [from, to]) {
  context.globalAlpha = 0.16;
  context.fillStyle = lab.theme.text;
  context.fillRect(frame.x(from), frame.y(1), Math.max(3, frame.x(to) - frame.x(from)),
    frame.inner.height);
  context.globalAlpha = 1;
}

function powerOfTen(exponent) {
  const digits = [...String(Math.abs(exponent))].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
  return exponent === 0 ? "1" : exponent === 1 ? "10" : `10${exponent < 0 ? "⁻" : ""}${digits}`;
}
