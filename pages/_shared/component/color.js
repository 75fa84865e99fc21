// The noise spectrum S² as a curve in the Spectrum plot: points that are dragged, moved by keys,
// added, removed and typed. Their state is the log-variance over the chosen colour.

const MAX_LOG_VARIANCE = 30;
const TONE_LIMIT = 12;
const MIN_KEPT = 0.02; // of the other scales' power, where one is raised and the total kept
const TONE_GAP = 0.02; // on the plot's axis

/** Points of the noise spectrum: scales that increase in [0, 1] and log-variances. */
function soundCurve(given, otherwise) {
  const good = Array.isArray(given) && given.length >= 2
    && given.every((p) => Array.isArray(p) && p.length === 2 && p.every(Number.isFinite))
    && given.every(([scale, v], i) => scale >= 0 && scale <= 1 && Math.abs(v) <= MAX_LOG_VARIANCE
      && (i === 0 || scale > given[i - 1][0]));
  return good ? given : otherwise;
}

/** Where a scale stands on the spectrum's axis in [0, 1]: logarithmic, unless scales are discrete. */
function spectrumPlace(side, node) {
  const floor = axisFloor(side);
  return floor ? 1 - Math.log(Math.max(node, floor)) / Math.log(floor) : placeOf(side, node);
}

/** The scale at a place on the spectrum's axis. */
function scaleAt(side, place) {
  const floor = axisFloor(side);
  if (floor) return place <= 0 ? 0 : floor ** (1 - place);
  const spot = clamp(place * side.bands - 0.5, 0, side.bands - 1);
  const i = Math.min(Math.floor(spot), side.bands - 2);
  return side.nodes[i] + (spot - i) * (side.nodes[i + 1] - side.nodes[i]);
}

/** Half the smallest scale above zero, from which the axis is logarithmic; 0 where it is not. */
function axisFloor(side) {
  if (side.axis.discrete || side.bands < 3 || !side.axis.log) return 0;
  return side.nodes.find((node) => node > 0) / 2;
}

/** Logarithm of the chosen colour's variance, before the curve, at a scale. */
function plainLog(side, own, scale) {
  const { plain } = tintOf(side, own);
  const place = Math.log(Math.max(scale, side.curve.floor));
  const nodes = side.curve.scales;
  let i = 0;
  while (i < side.bands - 2 && place > Math.log(nodes[i + 1])) i++;
  const from = Math.log(nodes[i]);
  const share = clamp((place - from) / (Math.log(nodes[i + 1]) - from), 0, 1);
  return (1 - share) * Math.log(plain[i]) + share * Math.log(plain[i + 1]);
}

/** Logarithm of the noise's variance at a point of the curve. */
function toneLog(side, own, [scale, v]) {
  return plainLog(side, own, scale) + v + Math.log(tintOf(side, own).kept);
}

/**
 * The curve with point i moved so that the noise there has this log-variance. Where the total
 * power is kept, raising one scale lowers the others, so the value is searched for.
 */
function withTone(side, own, i, scale, wanted) {
  const put = (v) => own.curve.map((point, j) =>
    (j === i ? [scale, Number(v.toFixed(6))] : point));
  const below = (v) => {
    const tried = { ...own, curve: put(v) };
    return toneLog(side, tried, [scale, v]) < wanted && tintOf(side, tried).kept > MIN_KEPT;
  };
  let [low, high] = [-TONE_LIMIT, TONE_LIMIT];
  for (let step = 0; step < 24; step++) {
    const middle = (low + high) / 2;
    if (below(middle)) low = middle;
    else high = middle;
  }
  return put((low + high) / 2);
}

/** What the handles of the noise spectrum do. */
function toneHost(lab) {
  const side = () => lab.message.sides[lab.active];
  const own = () => lab.state.sides[lab.active];
  const put = (gesture, curve) => change(lab, gesture, (state) => {
    state.sides[lab.active].curve = curve;
  });
  const move = (gesture, index, place, y) => {
    const { curve } = own();
    const at = (i) => spectrumPlace(side(), curve[i][0]);
    const inner = index > 0 && index < curve.length - 1;
    const scale = inner
      ? rounded(scaleAt(side(), clamp(place, at(index - 1) + TONE_GAP, at(index + 1) - TONE_GAP)))
      : curve[index][0];
    put(gesture, withTone(side(), own(), index, scale, powerAt(side(), clamp(y, 0, 1))));
  };
  const range = (index, axis) => {
    const { curve } = own();
    if (axis) return powerRange(side()).map((decade) => 10 ** decade);
    const near = (i, apart) => scaleAt(side(), spectrumPlace(side(), curve[i][0]) + apart);
    return [near(index - 1, TONE_GAP), near(index + 1, -TONE_GAP)];
  };
  return {
    name: "tone-", columns: ["scale", "noise power S²"], titles: ["Scale", "Noise power"],
    place: (event) => placeInSpectrum(lab, event),
    at: (index) => tonePlace(side(), own(), index),
    move, range,
    remove: (index) => removeTone(lab, index),
    choose: (index) => { lab.tone = index; },
    fixed: (index) => index === 0 || index === own().curve.length - 1,
    numbers: (index) => {
      const point = own().curve[index];
      return [point[0], Math.exp(toneLog(side(), own(), point))];
    },
    type: (index, axis, value) => {
      const point = own().curve[index];
      const level = axis ? Math.log(value) : toneLog(side(), own(), point);
      put("typed", withTone(side(), own(), index, axis ? point[0] : value, level));
    },
  };
}

/** Log-variance at a height in the spectrum's plot. */
function powerAt(side, y) {
  const [low, high] = powerRange(side);
  return (low + y * (high - low)) * Math.LN10;
}

function tonePlace(side, own, index) {
  const [low, high] = powerRange(side);
  const level = toneLog(side, own, own.curve[index]) / Math.LN10;
  return [spectrumPlace(side, own.curve[index][0]), clamp((level - low) / (high - low), 0, 1)];
}

function placeInSpectrum(lab, event) {
  const box = lab.el.spectrum.getBoundingClientRect();
  const frame = frameOf(box.width, box.height);
  return [frame.t(event.clientX - box.left), frame.v(event.clientY - box.top)];
}

/** The curve with one more point at a place of the axis, on the curve; the same where it is tight. */
function withPoint(side, own, place) {
  const { curve } = own;
  const places = curve.map(([scale]) => spectrumPlace(side, scale));
  const at = places.findIndex((each) => each > place);
  const tight = at < 1 || curve.length >= side.curve.points_max
    || place - places[at - 1] < TONE_GAP || places[at] - place < TONE_GAP;
  if (tight) return curve;
  const scale = rounded(scaleAt(side, place));
  const point = [scale, rounded(curveOverScale(side, curve)(Math.max(scale, side.curve.floor)))];
  return [...curve.slice(0, at), point, ...curve.slice(at)];
}

function addTone(lab, place) {
  const own = lab.state.sides[lab.active];
  const curve = withPoint(lab.message.sides[lab.active], own, place);
  if (curve === own.curve) return;
  lab.tone = curve.findIndex((point) => !own.curve.includes(point));
  changeOnce(lab, "add", (state) => { state.sides[lab.active].curve = curve; });
}

function removeTone(lab, index) {
  const { curve } = lab.state.sides[lab.active];
  if (index <= 0 || index >= curve.length - 1) return;
  changeOnce(lab, "remove", (state) => {
    state.sides[lab.active].curve = curve.filter((_, i) => i !== index);
  });
  lab.tone = Math.min(index, curve.length - 3);
}

/** The middle of the widest gap between points. */
function widestGap(side, curve) {
  const places = curve.map(([scale]) => spectrumPlace(side, scale));
  const gaps = places.slice(1).map((place, i) => [place - places[i], (place + places[i]) / 2]);
  return gaps.reduce((best, gap) => (gap[0] > best[0] ? gap : best))[1];
}

function wireColor(lab) {
  const { el } = lab;
  const side = () => lab.message.sides[lab.active];
  const host = toneHost(lab);
  lab.toneLine = makeSvg("path", { class: "grab" });
  lab.tonePoints = makeSvg("g", { class: "points" });
  el.tones.replaceChildren(lab.toneLine, lab.tonePoints);
  on(lab, el.addTone, "click", () => addTone(lab, widestGap(side(), lab.state.sides[lab.active].curve)));
  on(lab, el.removeTone, "click", () => removeTone(lab, lab.tone));
  on(lab, el.resetTone, "click", () => changeOnce(lab, "reset", (state) => {
    Object.assign(state.sides[lab.active], { curve: side().curve.points, keep: side().curve.keep });
  }));
  on(lab, el.keep, "change", () => changeOnce(lab, "keep", (state) => {
    state.sides[lab.active].keep = el.keep.checked;
  }));
  on(lab, el.toneNumbers, "toggle", () => repaint(lab));
  on(lab, el.draw, "dblclick", (event) => {
    if (!side().curve) return;
    const index = lab.tones.findIndex((handle) => handle.contains(event.composedPath()[0]));
    if (index >= 0) removeTone(lab, index);
    else addTone(lab, placeInSpectrum(lab, event)[0]);
  });
  let grab = null; // the line itself, dragged: it gets a point where it is held
  on(lab, lab.toneLine, "pointerdown", (event) => {
    if (event.button) return;
    lab.toneLine.setPointerCapture(event.pointerId);
    grab = { index: null, from: placeInSpectrum(lab, event) };
  });
  on(lab, lab.toneLine, "pointermove", (event) => {
    if (!grab) return;
    const [place, y] = placeInSpectrum(lab, event);
    const own = lab.state.sides[lab.active];
    if (grab.index === null) {
      if (Math.abs(y - grab.from[1]) < 0.02) return;
      const curve = withPoint(side(), own, grab.from[0]);
      grab.index = curve === own.curve ? nearestTone(side(), curve, grab.from[0])
        : curve.findIndex((point) => !own.curve.includes(point));
      lab.tone = grab.index;
      change(lab, "drag-tone-line", (state) => { state.sides[lab.active].curve = curve; });
    }
    host.move("drag-tone-line", grab.index, place, y);
  });
  on(lab, lab.toneLine, "pointerup pointercancel lostpointercapture", () => {
    if (grab && grab.index !== null) endGesture(lab);
    grab = null;
  });
}

function nearestTone(side, curve, place) {
  const apart = (point) => Math.abs(spectrumPlace(side, point[0]) - place);
  return curve.reduce((best, point, i) => (apart(point) < apart(curve[best]) ? i : best), 0);
}

/** Shows the handles on the noise spectrum, its line to grab, and its numbers. */
function showColor(lab, side, own, line) {
  const { el } = lab;
  const drawn = Boolean(side.curve && own.curve);
  for (const part of [el.toneTools, el.toneNumbers]) toggle(part, drawn);
  el.tones.style.display = drawn ? "" : "none";
  if (!drawn) return;
  const width = lab.widths.spectrum || 300;
  const frame = frameOf(width, lab.heights.spectrum);
  setAttributes(el.tones, { viewBox: `0 0 ${width} ${frame.height}`, height: frame.height,
    "data-side": lab.active ? "b" : "a" });
  setAttributes(lab.toneLine, { d: line });
  if (lab.tones.length !== own.curve.length) {
    const focused = lab.root.getRootNode().activeElement;
    const held = lab.tones.includes(focused);
    const host = toneHost(lab);
    lab.tones = own.curve.map((_, i) => makeHandle(lab, i, host));
    lab.tonePoints.replaceChildren(...lab.tones);
    if (held) lab.tones[clamp(lab.tone, 0, lab.tones.length - 1)].focus({ preventScroll: true });
  }
  own.curve.forEach((point, i) => {
    const [x, y] = tonePlace(side, own, i);
    const power = tidy(Math.exp(toneLog(side, own, point)));
    setAttributes(lab.tones[i], {
      transform: `translate(${frame.x(x).toFixed(1)} ${frame.y(y).toFixed(1)})`,
      "aria-label": `Noise point ${i + 1} of ${own.curve.length}`,
      "aria-valuenow": y.toFixed(3),
      "aria-valuetext": `noise power ${power} at scale ${tidy(point[0])}`,
      "data-chosen": i === lab.tone,
    });
  });
  enable(lab, el.addTone, own.curve.length < side.curve.points_max);
  enable(lab, el.removeTone, lab.tone > 0 && lab.tone < own.curve.length - 1);
  enable(lab, el.resetTone, own.curve !== side.curve.points || own.keep !== side.curve.keep);
  el.keep.checked = own.keep;
  if (!el.toneNumbers.open) return;
  showTable(lab, el.toneTable, el.toneBad, side, own.curve.length, toneHost(lab));
}
