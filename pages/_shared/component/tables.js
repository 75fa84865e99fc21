// Everything that is known at a time t: looked up in Python's tables, never from a formula.

/** Index and fraction of a value on a parameter's grid; [0, 0] without a parameter. */
function gridPosition(parameter, value) {
  if (!parameter || parameter.grid.length < 2) return [0, 0];
  const warp = parameter.log ? Math.log : (v) => v;
  const { grid } = parameter;
  const inside = clamp(value, grid[0], grid[grid.length - 1]);
  let i = 0;
  while (i < grid.length - 2 && inside > grid[i + 1]) i++;
  return [i, (warp(inside) - warp(grid[i])) / (warp(grid[i + 1]) - warp(grid[i]))];
}

/** Row of a table [P, N, B], linear in the parameter and in the ordinate u of [0, 1]. */
function lookUp(table, ordinates, bands, [p, share], u) {
  const place = clamp(u, 0, 1) * (ordinates - 1);
  const i = Math.min(Math.floor(place), Math.max(ordinates - 2, 0));
  const f = place - i;
  const next = ordinates > 1 ? bands : 0;
  const row = new Float32Array(bands);
  for (let side = 0; side < 2; side++) {
    const weight = side ? share : 1 - share;
    if (weight === 0) continue;
    const base = ((p + side) * ordinates + i) * bands;
    for (let b = 0; b < bands; b++) {
      row[b] += weight * ((1 - f) * table[base + b] + f * table[base + next + b]);
    }
  }
  return row;
}

function ordinateAt(side, own, t) {
  return side.path ? clamp(curveThrough(own.points)(t), 0, 1) : t;
}

/** The cutoff Λ at an ordinate of the path, in units of the scale; null without a path. */
function cutoffAt(side, own, u) {
  if (!side.cutoffs) return null;
  return lookUp(side.cutoffs, side.ordinates, 1, gridPosition(side.shape, own.shape), u)[0];
}

/**
 * Noise at the tint and the curve chosen, as it is in the end: amplitude of each band of each of
 * the noises that it is painted from, power per band, the curve's factor, and the one that keeps
 * the total power. Remembered while nothing changes.
 */
function tintOf(side, own) {
  const memo = side.tinted;
  const same = memo && memo.tint === own.tint && memo.curve === own.curve && memo.keep === own.keep;
  if (same) return memo;
  const at = gridPosition(side.tint, own.tint);
  const plain = lookUp(side.noisePower, side.moves, side.bands, at, 1);
  let factor = null;
  let kept = 1;
  if (side.curve && own.curve && !isFlat(own.curve, own.keep, side)) {
    factor = Float32Array.from(side.curve.scales, (scale) =>
      Math.exp(curveOverScale(side, own.curve)(scale)));
    if (own.keep) kept = 1 / powerOf(side, own, factor);
  }
  side.tinted = { tint: own.tint, curve: own.curve, keep: own.keep, at, plain, factor, kept };
  return Object.assign(side.tinted, noiseOverTime(side, side.tinted, 1));
}

/** Amplitude and power of the noise at time t, of which the curve is drawn on the last colour. */
function noiseOverTime(side, { at, factor, kept }, t) {
  const amplitude = lookUp(side.tintTable, side.moves, side.noise.length, at, t);
  const power = lookUp(side.noisePower, side.moves, side.bands, at, t);
  if (factor) {
    const share = side.moves > 1 ? between(side.motion, t) : 1;
    const part = factor.map((value) => (value * kept) ** share);
    for (let b = 0; b < power.length; b++) power[b] *= part[b];
    for (let i = 0; i < amplitude.length; i++) amplitude[i] *= Math.sqrt(part[i % side.bands]);
  }
  return { amplitude, power };
}

/** The noise at time t, where its colour changes with time, else as it always is. */
function tintAt(side, own, t) {
  const last = tintOf(side, own);
  return side.moves > 1 ? noiseOverTime(side, last, t) : last;
}

/** Power of the noise with a factor per band, in units of the data's. */
function powerOf(side, own, factor) {
  const share = lookUp(side.share, 1, side.bands, gridPosition(side.tint, own.tint), 0);
  return share.reduce((sum, value, b) => sum + value * factor[b], 0);
}

/** Whether a curve leaves the colour that it is drawn on as it is. */
function isFlat(curve, keep, side) {
  return keep === side.curve.keep && curve.every((point) => point[1] === 0);
}

const scaleMemo = new WeakMap();

/** Log-variance v(scale) through points: a monotone cubic over log(scale), constant beyond. */
function curveOverScale(side, curve) {
  if (!scaleMemo.has(curve)) {
    const through = monotoneCubic(curve.map(([scale, v], i) =>
      [Math.log(scale || Math.min(side.curve.floor, curve[i + 1][0] / 2)), v]));
    scaleMemo.set(curve, (scale) => through(Math.log(scale)));
  }
  return scaleMemo.get(curve);
}

/** Weights α and σ of one side at time t, per band. */
function weightsAt(side, own, t) {
  const at = gridPosition(side.shape, own.shape);
  const row = (table) => lookUp(table, side.ordinates, side.bands, at, ordinateAt(side, own, t));
  return { alpha: row(side.alpha), sigma: row(side.sigma) };
}

/** Weights, log-SNR of the data and bits per component of one side at time t, all per band. */
function momentOf(message, side, own, t) {
  const at = gridPosition(side.shape, own.shape);
  const u = ordinateAt(side, own, t);
  const row = (table) => lookUp(table, side.ordinates, side.bands, at, u);
  const { alpha, sigma } = weightsAt(side, own, t);
  const tint = tintAt(side, own, t);
  const logSnr = dataLogSnr(side, row(side.gamma), tint.power);
  const bits = logSnr.map((value) => informationAt(message, value));
  return {
    t, u, alpha, sigma, tint, logSnr, bits,
    total: bits.reduce((sum, value, b) => sum + side.counts[b] * value, 0),
    cutoff: cutoffAt(side, own, u),
  };
}

function dataLogSnr(side, gamma, noisePower) {
  return gamma.map((value, b) => {
    const ratio = side.dataPower[b] / noisePower[b];
    return clamp(-value + Math.log(ratio > 0 ? ratio : 1e-30), -80, 80);
  });
}

/** Bits per component at a data log-SNR. */
function informationAt(message, logSnr) {
  const { low, high, values } = message.information;
  const place = clamp((logSnr - low) / (high - low), 0, 1) * (values.length - 1);
  const i = Math.min(Math.floor(place), values.length - 2);
  return values[i] + (place - i) * (values[i + 1] - values[i]);
}

const FIELD_TIMES = 97;

/** Weights of one side over evenly spaced times, remembered while nothing changes. */
function weightsOverTime(side, own) {
  const memo = side.weights;
  if (memo && memo.points === own.points && memo.shape === own.shape) return memo.rows;
  const rows = Array.from({ length: FIELD_TIMES },
    (_, i) => weightsAt(side, own, i / (FIELD_TIMES - 1)));
  side.weights = { points: own.points, shape: own.shape, rows };
  return rows;
}

/** The whole history of one side: log-SNR over (t, band), cutoff and bits over t. */
function historyOf(message, side, own) {
  const memo = side.history;
  const same = memo && memo.points === own.points && memo.shape === own.shape
    && memo.tint === own.tint && memo.curve === own.curve && memo.keep === own.keep;
  if (same) return memo;
  const moments = [];
  let mostBits = 0;
  for (let i = 0; i < FIELD_TIMES; i++) {
    const moment = momentOf(message, side, own, i / (FIELD_TIMES - 1));
    moment.bits.forEach((value) => { mostBits = Math.max(mostBits, value); });
    moments.push(moment);
  }
  side.history = { ...own, moments, mostBits };
  return side.history;
}

/** First time at which the data log-SNR of a band falls through zero; null if it never does. */
function crossingTime(history, band) {
  const { moments } = history;
  for (let i = 1; i < moments.length; i++) {
    const before = moments[i - 1].logSnr[band];
    const after = moments[i].logSnr[band];
    if (before > 0 && after <= 0) return (i - 1 + before / (before - after)) / (FIELD_TIMES - 1);
  }
  return null;
}

/** Layers to add up for one side: [values, weight], negligible ones left out. */
function layersOf(message, side, moment) {
  const layers = [];
  for (let b = 0; b < side.bands; b++) {
    addLayer(layers, message, side.data[b], side.dataPeak[b], moment.alpha[b]);
  }
  addNoise(layers, message, side, moment.sigma, moment.tint.amplitude);
  return layers;
}

function addNoise(layers, message, side, sigma, amplitude) {
  side.noise.forEach((values, i) => addLayer(layers, message, values, side.noisePeak[i],
    sigma[i % side.bands] * amplitude[i]));
}

/** Layers of the blended process: data of A, noise of A and B mixed before it is scaled. */
function blendLayers(message, tables, state) {
  const [a, b] = message.sides;
  const { t, blend: w } = state;
  const place = w * (tables.parameters - 1);
  const p = Math.min(Math.floor(place), Math.max(tables.parameters - 2, 0));
  const row = (table) => lookUp(table, tables.ordinates, tables.bands, [p, place - p], t);
  const alpha = row(tables.alpha);
  const sigma = row(tables.sigma);
  const tintA = tintAt(a, state.sides[0], t).amplitude;
  const tintB = tintAt(b, state.sides[1], t).amplitude;
  const layers = [];
  for (let i = 0; i < tables.bands; i++) {
    addLayer(layers, message, a.data[i], a.dataPeak[i], alpha[i]);
  }
  addNoise(layers, message, a, sigma.map((value) => value * (1 - w)), tintA);
  addNoise(layers, message, b, sigma.map((value) => value * w), tintB);
  return layers;
}

function addLayer(layers, message, values, largest, weight) {
  const visible = (message.images.high - message.images.low) / 255 / 512;
  if (Math.abs(weight) * largest > visible) layers.push([values, weight]);
}

/** Position on a plot's scale axis, in [0, 1]: discrete scales are spread evenly. */
function placeOf(side, node) {
  if (side.bands === 1) return 0.5;
  if (!side.axis.discrete) return node;
  const { nodes } = side;
  let i = 0;
  while (i < nodes.length - 2 && node > nodes[i + 1]) i++;
  return (i + 0.5 + (node - nodes[i]) / (nodes[i + 1] - nodes[i])) / side.bands;
}

/** The stretch [from, to] of the scale axis that belongs to a band. */
function cellOf(side, band) {
  if (side.bands === 1 || side.axis.discrete) return [band / side.bands, (band + 1) / side.bands];
  const { nodes } = side;
  const middle = (i) => (nodes[i] + nodes[i + 1]) / 2;
  return [band ? middle(band - 1) : Math.min(0, nodes[0]),
    band < side.bands - 1 ? middle(band) : Math.max(1, nodes[band])];
}

function bandAt(side, place) {
  let best = 0;
  for (let b = 1; b < side.bands; b++) {
    if (place >= cellOf(side, b)[0]) best = b;
  }
  return best;
}

/** A scale in words: its value, or its number where scales are counted. */
function scaleName(side, band) {
  if (side.bands === 1) return "all scales";
  return side.axis.counted ? `${side.axis.label} ${band + 1}`
    : `${side.axis.label} = ${side.nodes[band].toFixed(2)}`;
}
