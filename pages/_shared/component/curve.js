// The path y(t): points, and the monotone cubic that joins them.

const POINT_GAP = 0.01;

/**
 * Slopes of the monotone cubic of Fritsch and Butland (1984) at its knots: inside, the weighted
 * harmonic mean of the neighbouring secants (zero at an extremum); at the ends, the one-sided
 * three-point estimate, held back where it would break monotonicity.
 */
function monotoneSlopes(x, y) {
  const last = x.length - 1;
  const step = (i) => x[i + 1] - x[i];
  const secant = (i) => (y[i + 1] - y[i]) / step(i);
  if (last === 1) return [secant(0), secant(0)];
  const slopes = new Array(last + 1);
  for (let i = 1; i < last; i++) {
    const before = secant(i - 1);
    const after = secant(i);
    if (before * after <= 0) {
      slopes[i] = 0;
      continue;
    }
    const w1 = 2 * step(i) + step(i - 1);
    const w2 = step(i) + 2 * step(i - 1);
    slopes[i] = (w1 + w2) / (w1 / before + w2 / after);
  }
  slopes[0] = endSlope(step(0), step(1), secant(0), secant(1));
  slopes[last] = endSlope(step(last - 1), step(last - 2), secant(last - 1), secant(last - 2));
  return slopes;
}

function endSlope(near, far, nearSecant, farSecant) {
  const slope = ((2 * near + far) * nearSecant - near * farSecant) / (near + far);
  if (Math.sign(slope) !== Math.sign(nearSecant)) return 0;
  const turns = Math.sign(nearSecant) !== Math.sign(farSecant);
  return turns && Math.abs(slope) > 3 * Math.abs(nearSecant) ? 3 * nearSecant : slope;
}

/** The function y(t) through points [[t, y], ...]; constant outside them. */
function monotoneCubic(points) {
  const x = points.map((point) => point[0]);
  const y = points.map((point) => point[1]);
  const slopes = monotoneSlopes(x, y);
  const last = x.length - 1;
  return (t) => {
    if (t <= x[0]) return y[0];
    if (t >= x[last]) return y[last];
    let i = 0;
    while (t > x[i + 1]) i++;
    const h = x[i + 1] - x[i];
    const s = (t - x[i]) / h;
    const r = 1 - s;
    return r * r * (1 + 2 * s) * y[i] + s * s * (1 + 2 * r) * y[i + 1]
      + h * s * r * (r * slopes[i] - s * slopes[i + 1]);
  };
}

const curveMemo = new WeakMap();

/** y(t) for an array of points, remembered by identity: points are replaced, never changed. */
function curveThrough(points) {
  if (!curveMemo.has(points)) curveMemo.set(points, monotoneCubic(points));
  return curveMemo.get(points);
}

function arePoints(points) {
  return Array.isArray(points) && points.length >= 2
    && points.every((p) => Array.isArray(p) && p.length === 2 && p.every(Number.isFinite))
    && points[0][0] === 0 && points[points.length - 1][0] === 1
    && points.every((p) => p[1] >= 0 && p[1] <= 1)
    && points.every((p, i) => i === 0
      || (p[0] - points[i - 1][0] >= POINT_GAP - 1e-9 && p[1] <= points[i - 1][1] + 1e-9));
}

/** Where point i may go: between its neighbours; the first and the last keep their time. */
function pointRange(points, i) {
  const last = points.length - 1;
  return {
    tLow: i === 0 ? 0 : i === last ? 1 : points[i - 1][0] + POINT_GAP,
    tHigh: i === 0 ? 0 : i === last ? 1 : points[i + 1][0] - POINT_GAP,
    yLow: i === last ? 0 : points[i + 1][1],
    yHigh: i === 0 ? 1 : points[i - 1][1],
  };
}

function movePoint(points, i, t, y) {
  const range = pointRange(points, i);
  const moved = [clamp(rounded(t), range.tLow, range.tHigh),
    clamp(rounded(y), range.yLow, range.yHigh)];
  return points.map((point, j) => (j === i ? moved : point));
}

/** Points with one more at time t (on the curve unless y is given); the same ones if no room. */
function insertPoint(points, t, y, most) {
  const at = points.findIndex((point) => point[0] > t);
  const tight = at < 1 || points.length >= most
    || t - points[at - 1][0] < POINT_GAP || points[at][0] - t < POINT_GAP;
  if (tight) return points;
  const height = y === null ? curveThrough(points)(t) : y;
  const inside = clamp(rounded(height), points[at][1], points[at - 1][1]);
  return [...points.slice(0, at), [t, inside], ...points.slice(at)];
}

function removePoint(points, i) {
  if (i <= 0 || i >= points.length - 1) return points;
  return points.filter((_, j) => j !== i);
}

/** A good time for a new point: now, or the middle of the widest gap if that is too tight. */
function roomyTime(points, t) {
  if (points.every((point) => Math.abs(point[0] - t) >= 0.03)) return rounded(t);
  let best = 0;
  points.forEach((point, i) => {
    if (i && point[0] - points[i - 1][0] > points[best + 1][0] - points[best][0]) best = i - 1;
  });
  return rounded((points[best][0] + points[best + 1][0]) / 2);
}

/** To four decimals, so that states stay short in addresses and files. */
function rounded(value) {
  return Math.round(value * 1e4) / 1e4;
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
