// The spectrum of data and noise, whose noise is dragged.

/**
 * Power of data, noise and their mixture, per component, at a moment: its α, σ and noise.
 * `band` is lit up, and of `rival` the mixture is shown too.
 */
function showSpectrum(lab, side, own, moment, { band = null, rival = null } = {}) {
  const { theme } = lab;
  const [low, high] = powerRange(side);
  const decades = [];
  const every = Math.ceil((high - low) / 5);
  for (let d = low; d <= high; d += every) decades.push([(d - low) / (high - low), powerOfTen(d)]);
  const { context, frame } = openPlot(lab, "spectrum", { xTicks: spectrumTicks(side),
    yTicks: decades, xLabel: side.axis.label, yLabel: "power" });
  const at = (s) => (value, b) =>
    [frame.x(spectrumPlace(s, s.nodes[b])),
      frame.y((Math.log10(Math.max(value, 1e-30)) - low) / (high - low))];
  const noiseOf = (m) => m.tint.power.map((power, b) => power * m.sigma[b] ** 2);
  const mixtureOf = (m, s) =>
    noiseOf(m).map((power, b) => power + m.alpha[b] ** 2 * s.dataPower[b]);
  clipTo(context, frame);
  const draw = (values, color, width, dash, s = side) => {
    const points = Array.from(values, at(s));
    context.strokeStyle = color;
    context.lineWidth = width;
    context.setLineDash(dash);
    if (points.length === 1) points.push([frame.x(1), points[0][1]], [frame.x(0), points[0][1]]);
    strokeLine(context, points);
  };
  if (rival) {
    draw(mixtureOf(rival.moment, rival.side), theme.sides[rival.index], 1.5,
      rival.index ? [6, 4] : [], rival.side);
  }
  const last = tintOf(side, own).power;
  const alike = side.dataPower.every((power, b) => Math.abs(Math.log(power / last[b])) < 0.02);
  draw(side.dataPower, theme.data, alike ? 6 : 2, []); // of lines that coincide, rims are seen
  const wide = alike ? 4.2 : 2;
  draw(last, theme.noise, wide, []);
  if (side.moves > 1) draw(moment.tint.power, theme.noise, 3.5, [9, 4]);
  draw(noiseOf(moment), theme.noise, 2, [2, 3]);
  draw(mixtureOf(moment, side), theme.sides[lab.active], 2.5, lab.active ? [7, 4] : []);
  draw(last, theme.noise, wide, [9, 9]); // seen on the mixture too, where they coincide
  context.setLineDash([]);
  if (band !== null) {
    drawStripe(lab, context, frame, cellOf(side, band).map((edge) =>
      (axisFloor(side) ? spectrumPlace(side, edge) : edge)));
  }
  context.restore();
  setText(lab.el.lastNoise, `noise S²${side.moves > 1 ? " in the end" : ""}${side.curve ? ": drag it" : ""}`);
  toggle(lab.el.movingNoise, side.moves > 1);
  setAttributes(lab.el.spectrum, { "data-finest": tidy(moment.tint.power[side.bands - 1]) });
  showColor(lab, side, own, Array.from(last, at(side)).map(([x, y], i) =>
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
