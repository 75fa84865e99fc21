// The plane's arithmetic: sums over the grid of the data's density, which the message brings. The
// core has the same in closed form (rgdiff_core/denoisers/two_sites.py), and a test compares them.

const FLOW_STEPS = 40;

/** Weights exp(−½((at − α c)/s)²) of the grid's places c; s is at least ⅔ of a spacing. */
function shifted(axis, at, alpha, std) {
  const least = 0.66 * (axis[1] - axis[0]) * Math.max(alpha, 1e-6);
  const width = Math.max(std, least);
  return Float64Array.from(axis, (c) => {
    const away = (at - alpha * c) / width;
    return Math.exp(-0.5 * away * away);
  });
}

/** The density at all pairs of the grid's places, [n, n] of its own maximum: K₀ P K₁ᵀ. */
function noisedDensity({ axis, density }, alpha, std) {
  const n = axis.length;
  const kernels = [0, 1].map((k) => Array.from(axis, (at) => shifted(axis, at, alpha[k], std[k])));
  const half = new Float64Array(n * n); // [first mode of the data, second mode of the picture]
  for (let i = 0; i < n; i++) {
    for (let b = 0; b < n; b++) {
      const row = kernels[1][b];
      let sum = 0;
      for (let j = 0; j < n; j++) sum += density[i * n + j] * row[j];
      half[i * n + b] = sum;
    }
  }
  const whole = new Float64Array(n * n);
  for (let a = 0; a < n; a++) {
    const row = kernels[0][a];
    for (let i = 0; i < n; i++) {
      if (row[i] < 1e-7) continue;
      for (let b = 0; b < n; b++) whole[a * n + b] += row[i] * half[i * n + b];
    }
  }
  const most = whole.reduce((best, value) => Math.max(best, value), 1e-300);
  return whole.map((value) => value / most);
}

/** The posterior's mean of both modes, given both at a time. */
function posteriorMean({ axis, density }, at, alpha, std) {
  const n = axis.length;
  const first = shifted(axis, at[0], alpha[0], std[0]);
  const second = shifted(axis, at[1], alpha[1], std[1]);
  let [low, high] = [0, n]; // where the second mode may be
  while (low < n - 1 && second[low] < 1e-9) low++;
  while (high > low + 1 && second[high - 1] < 1e-9) high--;
  let [sum, a, b] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    if (first[i] < 1e-9) continue;
    let [row, moment] = [0, 0];
    for (let j = low; j < high; j++) {
      const share = density[i * n + j] * second[j];
      row += share;
      moment += share * axis[j];
    }
    sum += first[i] * row;
    a += first[i] * row * axis[i];
    b += first[i] * moment;
  }
  return sum > 0 ? [a / sum, b / sum] : at.map((x, k) => x / Math.max(alpha[k], 1e-6));
}

/** Lines of the probability flow from noise to data: [steps + 1] pairs of modes for each start. */
function flowLines(theory, starts, weights) {
  const [last] = weights.slice(-1);
  return starts.map((start) => {
    let at = start.map((z, k) =>
      z * Math.hypot(last.alpha[k] * Math.sqrt(theory.variance[k]), last.std[k]));
    const line = [at];
    for (let i = FLOW_STEPS; i > 0; i--) {
      const [now, next] = [weights[i], weights[i - 1]];
      const mean = posteriorMean(theory, at, now.alpha, now.std);
      at = at.map((x, k) => next.alpha[k] * mean[k]
        + next.std[k] * (x - now.alpha[k] * mean[k]) / now.std[k]);
      line.unshift(at);
    }
    return line;
  });
}
