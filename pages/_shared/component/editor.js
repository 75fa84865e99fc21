// The Λ(t) editor: an SVG whose points are dragged, moved by keys, added, removed and typed.

const MARGIN = { left: 46, right: 14, top: 10, bottom: 36 };
const CURVE_HEIGHT = 230;
const CURVE_SAMPLES = 120;
const LEVEL_NAME = 14; // pixels that the name of the highlighted scale needs above its line
const LETTER = 6.4; // pixels of a letter of the read-out, on average

function makeSvg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Pixels of (t, y) in a plot of this width and height, and back. */
function frameOf(width, height) {
  const inner = { width: width - MARGIN.left - MARGIN.right,
    height: height - MARGIN.top - MARGIN.bottom };
  return {
    width, height, inner,
    x: (t) => MARGIN.left + t * inner.width,
    y: (v) => MARGIN.top + (1 - v) * inner.height,
    t: (x) => (x - MARGIN.left) / inner.width,
    v: (y) => 1 - (y - MARGIN.top) / inner.height,
  };
}

/** Fits the plot to its place; what is held in it stays, or a drag would end unnoticed. */
function sizeEditor(lab) {
  const svg = lab.el.curve;
  const width = Math.max(240, svg.clientWidth || 480);
  const height = lab.curveHeight || CURVE_HEIGHT;
  if (lab.frame && lab.frame.width === width && lab.frame.height === height) return;
  lab.frame = frameOf(width, height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  if (!lab.shapes) makeShapes(lab);
  const { frame, shapes } = lab;
  const lines = [0, 0.25, 0.5, 0.75, 1].flatMap((v) => [
    makeSvg("line", { x1: frame.x(0), x2: frame.x(1), y1: frame.y(v), y2: frame.y(v) }),
    makeSvg("line", { x1: frame.x(v), x2: frame.x(v), y1: frame.y(0), y2: frame.y(1) }),
  ]);
  const labels = [0, 0.5, 1].flatMap((v) => [label(v, frame.x(v), frame.y(0) + 18, "middle"),
    label(v, frame.x(0) - 13, frame.y(v) + 4, "end")]);
  shapes.grid.replaceChildren(...lines, ...labels,
    label("time t: data → noise", frame.x(0.5), height - 1, "middle"));
  setAttributes(shapes.upright, { transform: `translate(12 ${frame.y(0.5)}) rotate(-90)` });
}

function makeShapes(lab) {
  const part = (tag, name) => makeSvg(tag, { class: name });
  lab.shapes = {
    grid: part("g", "grid"), upright: label("", 0, 0, "middle"), fill: part("path", "fill"),
    other: part("path", "other"), own: part("path", "own"), level: part("line", "level"),
    now: part("line", "now"), levelName: label("highlighted scale", 0, 0, "end"),
    dot: part("circle", "dot"), readout: part("text", "readout"),
    lines: part("g", "lines"), points: part("g", "points"),
  };
  lab.shapes.dot.setAttribute("r", 4);
  lab.shapes.levelName.setAttribute("class", "levelName");
  lab.el.curve.replaceChildren(...Object.values(lab.shapes));
  lab.handles = [];
}

function label(text, x, y, anchor) {
  const element = makeSvg("text", { x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}

function wireEditor(lab) {
  const { el } = lab;
  // A handle that is removed while it is held has no other way to say that it was let go.
  on(lab, document, "lostpointercapture", (event) => {
    if (event.target === document && lab.gesture) endGesture(lab);
  });
  on(lab, el.curve, "dblclick", (event) => {
    const side = lab.message.sides[lab.active];
    if (!side.path) return;
    const index = handleIndex(lab, event.composedPath()[0]);
    if (index >= 0) return void deletePoint(lab, index);
    const [t, y] = placeOfPointer(lab, event);
    if (t > 0 && t < 1) addPoint(lab, rounded(t), y);
  });
  on(lab, el.add, "click", () => {
    addPoint(lab, roomyTime(lab.state.sides[lab.active].points, timeNow(lab)), null);
  });
  on(lab, el.remove, "click", () => deletePoint(lab, lab.point));
}

function placeOfPointer(lab, event) {
  const box = lab.el.curve.getBoundingClientRect();
  return [lab.frame.t(event.clientX - box.left), lab.frame.v(event.clientY - box.top)];
}

function handleIndex(lab, target) {
  return lab.handles.findIndex((handle) => handle === target.parentNode || handle === target);
}

function addPoint(lab, t, y) {
  const own = lab.state.sides[lab.active];
  const points = insertPoint(own.points, t, y, lab.message.sides[lab.active].points_max);
  if (points === own.points) return;
  lab.point = points.findIndex((point) => point[0] === t);
  changeOnce(lab, "add", (state) => { state.sides[lab.active].points = points; });
}

function deletePoint(lab, index) {
  const own = lab.state.sides[lab.active];
  const points = removePoint(own.points, index);
  if (points === own.points) return;
  changeOnce(lab, "remove", (state) => { state.sides[lab.active].points = points; });
  lab.point = Math.min(index, points.length - 2);
}

/** What the handles of the path do. */
function pathHost(lab) {
  const points = () => lab.state.sides[lab.active].points;
  const put = (gesture, moved) => change(lab, gesture, (state) => {
    state.sides[lab.active].points = moved;
  });
  return {
    name: "", columns: ["time t", "position"], titles: ["Time", "Cutoff position"],
    place: (event) => placeOfPointer(lab, event),
    at: (index) => points()[index],
    move: (gesture, index, t, y) => put(gesture, movePoint(points(), index, t, y)),
    remove: (index) => deletePoint(lab, index),
    choose: (index) => { lab.point = index; },
    fixed: (index) => index === 0 || index === points().length - 1,
    numbers: (index) => points()[index],
    range: (index, axis) => {
      const r = pointRange(points(), index);
      return axis ? [r.yLow, r.yHigh] : [r.tLow, r.tHigh];
    },
    type: (index, axis, value) => {
      const [t, y] = points()[index];
      put("typed", movePoint(points(), index, axis ? t : value, axis ? value : y));
    },
  };
}

/**
 * One handle: a wide invisible target and a small visible dot; a slider for assistive tools.
 * `host` says where the pointer and the points are in the plot, and moves and removes them.
 */
function makeHandle(lab, index, host) {
  const handle = makeSvg("g", { class: "point", tabindex: 0, role: "slider",
    "aria-valuemin": 0, "aria-valuemax": 1 });
  handle.append(makeSvg("circle", { class: "target", r: 21 }),
    makeSvg("circle", { class: "ring", r: 11 }), makeSvg("circle", { class: "knob", r: 6.5 }));
  let grip = null;
  on(lab, handle, "pointerdown", (event) => {
    if (event.button) return;
    handle.setPointerCapture(event.pointerId);
    const [t, y] = host.place(event);
    const point = host.at(index);
    grip = [point[0] - t, point[1] - y];
    host.choose(index);
    repaint(lab);
  });
  on(lab, handle, "pointermove", (event) => {
    if (!grip) return;
    const [t, y] = host.place(event);
    host.move(`drag-${host.name}${index}`, index, t + grip[0], y + grip[1]);
  });
  on(lab, handle, "pointerup pointercancel lostpointercapture", () => {
    if (!grip) return;
    grip = null;
    endGesture(lab);
  });
  on(lab, handle, "focus", () => {
    host.choose(index);
    repaint(lab);
  });
  on(lab, handle, "keydown", (event) => {
    const step = event.shiftKey ? 0.002 : 0.02;
    const [t, y] = host.at(index);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step],
      ArrowDown: [0, -step] };
    const [dt, dy] = moves[event.key] || [0, 0];
    if (dt || dy) host.move(`key-${host.name}${index}`, index, t + dt, y + dy);
    else if (event.key === "Delete" || event.key === "Backspace") host.remove(index);
    else return;
    event.preventDefault();
  });
  return handle;
}

function showEditor(lab) {
  sizeEditor(lab);
  const { message, state, shapes, frame } = lab;
  const side = message.sides[lab.active];
  const own = state.sides[lab.active];
  lab.el.curve.dataset.side = lab.active ? "b" : "a";
  const moment = lab.moments[lab.active];
  setText(shapes.upright, side.path ? "cutoff position" : "signal α²");
  setAttributes(shapes.now, { x1: frame.x(timeNow(lab)), x2: frame.x(timeNow(lab)), y1: frame.y(0),
    y2: frame.y(1) });
  if (side.path) showPath(lab, side, own, moment);
  else showLevels(lab, side, own);
  showPoints(lab, side.path ? own.points : []);
  showNumbers(lab, side, own);
}

function pathData(frame, value) {
  let data = "";
  for (let i = 0; i <= CURVE_SAMPLES; i++) {
    const t = i / CURVE_SAMPLES;
    data += `${i ? "L" : "M"}${frame.x(t).toFixed(1)} ${frame.y(value(t)).toFixed(1)}`;
  }
  return data;
}

function showPath(lab, side, own, moment) {
  const { shapes, frame, state } = lab;
  const line = pathData(frame, curveThrough(own.points));
  setAttributes(shapes.own, { d: line });
  setAttributes(shapes.fill, { d: `${line}V${frame.y(0)}H${frame.x(0)}Z` });
  const rival = 1 - lab.active;
  const compared = lab.message.sides[rival] && lab.message.sides[rival].path;
  setAttributes(shapes.other, {
    d: compared ? pathData(frame, curveThrough(state.sides[rival].points)) : "" });
  shapes.dot.style.display = "";
  setAttributes(shapes.dot, { cx: frame.x(timeNow(lab)), cy: frame.y(moment.u) });
  const readout = readoutOf(side, own, moment.u);
  setText(shapes.readout, readout);
  const wide = LETTER * readout.length;
  const [x, y] = readoutPlace(frame, curveThrough(own.points), frame.x(timeNow(lab)), wide);
  setAttributes(shapes.readout, { x, y });
  shapes.lines.replaceChildren();
  showLevel(lab, side, own);
}

/** The cutoff's position, and the Λ that it stands for, which also passes beyond all scales. */
function readoutOf(side, own, u) {
  const position = `position ${u.toFixed(3)}`;
  if (!side.cutoff) return position;
  const cutoff = cutoffAt(side, own, u);
  if (cutoff < 0) return `${position} · Λ below all scales`;
  if (cutoff > 1) return `${position} · Λ above all scales`;
  return `${position} · ${side.cutoff} ${cutoff.toFixed(2)}`;
}

/**
 * Where a read-out of this width begins, and its base line: beside the mark at x, above or below
 * the curve, which never rises, so that it covers neither the curve nor its points.
 */
function readoutPlace(frame, value, x, wide) {
  const y = frame.y(value(frame.t(x)));
  const places = [Math.min(x + 9, frame.width - wide), Math.max(x - 9 - wide, frame.x(0))]
    .flatMap((from) => [
      [from, frame.y(value(frame.t(from - 9))) - 12],
      [from, frame.y(value(frame.t(from + wide + 9))) + 20],
    ]);
  const far = ([, base]) => Math.abs(base - y)
    + 100 * Math.max(frame.y(1) + LETTER - base, base + 4 - frame.y(0), 0);
  return places.reduce((best, place) => (far(place) < far(best) ? place : best));
}

/** The lit-up scale in the editor: the ordinate at which the cutoff passes it. */
function showLevel(lab, side, own) {
  const band = litBand(lab);
  const { level, levelName } = lab.shapes;
  const ordinate = band === null ? null : ordinateOfScale(side, own, side.nodes[band]);
  for (const shape of [level, levelName]) shape.style.display = ordinate === null ? "none" : "";
  if (ordinate === null) return;
  const y = lab.frame.y(ordinate);
  setAttributes(level, { x1: lab.frame.x(0), x2: lab.frame.x(1), y1: y, y2: y });
  const below = y < lab.frame.y(1) + LEVEL_NAME;
  setAttributes(levelName, { x: lab.frame.x(1) - 4, y: below ? y + LEVEL_NAME : y - 4 });
}

function ordinateOfScale(side, own, node) {
  const [p, share] = gridPosition(side.shape, own.shape);
  const front = (i) => lookUp(side.front, side.ordinates, 1, [p, share], i / (side.ordinates - 1))[0];
  for (let i = 1; i < side.ordinates; i++) {
    const [a, b] = [front(i - 1), front(i)];
    if ((a <= node && b >= node) || (a >= node && b <= node)) {
      return (i - 1 + (a === b ? 0 : (node - a) / (b - a))) / (side.ordinates - 1);
    }
  }
  return null;
}

/** A schedule without a path: α² of a few bands over time, to read only. */
function showLevels(lab, side, own) {
  const { shapes, frame } = lab;
  const rows = weightsOverTime(side, own);
  const lit = litBand(lab);
  const named = new Map([[0, "coarsest"], [Math.floor(side.bands / 2), "middle"],
    [side.bands - 1, "finest"]]);
  const share = (band) => rows.map(({ alpha, sigma }) =>
    alpha[band] ** 2 / (alpha[band] ** 2 + sigma[band] ** 2 || 1));
  const coarsest = share(0);
  const alike = [...named.keys()].every((band) =>
    share(band).every((value, i) => Math.abs(value - coarsest[i]) < 2e-3));
  if (alike) named.clear();
  if (lit !== null && !named.has(lit)) named.set(lit, "this scale");
  if (alike) named.set(0, "every scale");
  for (const shape of [shapes.own, shapes.fill, shapes.other]) setAttributes(shape, { d: "" });
  for (const shape of [shapes.level, shapes.levelName]) shape.style.display = "none";
  shapes.dot.style.display = "none";
  setText(shapes.readout, "");
  shapes.lines.replaceChildren(...[...named].flatMap(([band, name], i) => {
    const values = share(band);
    const line = makeSvg("path", { d: pathData(frame, (t) => between(values, t)),
      "data-rank": i, class: band === lit && !alike ? "lit" : "" });
    const half = values.findIndex((value) => value < 0.75 - 0.18 * i);
    const at = half < 0 ? 0.8 : half / (FIELD_TIMES - 1);
    const left = at > 0.8;
    return [line, label(name, frame.x(at) + (left ? -8 : 8), frame.y(between(values, at)) - 6,
      left ? "end" : "start")];
  }));
  setText(lab.el.note, `${side.note ? `${side.note} ` : ""}This schedule has no cutoff to drag; `
    + "the curves show how much of each scale is left.");
}

/** Linear interpolation of values that are evenly spaced over [0, 1]. */
function between(values, t) {
  const place = clamp(t, 0, 1) * (values.length - 1);
  const i = Math.min(Math.floor(place), values.length - 2);
  return values[i] + (place - i) * (values[i + 1] - values[i]);
}

function showPoints(lab, points) {
  const { shapes, frame } = lab;
  if (lab.handles.length !== points.length) {
    const focused = lab.root.getRootNode().activeElement;
    const held = lab.handles.includes(focused);
    const host = pathHost(lab);
    lab.handles = points.map((_, i) => makeHandle(lab, i, host));
    shapes.points.replaceChildren(...lab.handles);
    if (held) lab.handles[clamp(lab.point, 0, points.length - 1)].focus({ preventScroll: true });
  }
  points.forEach(([t, y], i) => setAttributes(lab.handles[i], {
    transform: `translate(${frame.x(t).toFixed(1)} ${frame.y(y).toFixed(1)})`,
    "aria-label": `Point ${i + 1} of ${points.length}`,
    "aria-valuenow": y.toFixed(3),
    "aria-valuetext": `cutoff position ${y.toFixed(3)} at time ${t.toFixed(3)}`,
    "data-chosen": i === lab.point,
  }));
}

/** The points as numbers to type: one row of time and position for each. */
function showNumbers(lab, side, own) {
  if (!side.path || !lab.el.numbers.open) return;
  showTable(lab, lab.el.table, lab.el.tableBad, side, own.points.length, pathHost(lab));
}

/** A table of typed numbers, a row for each of a curve's points; rebuilt when necessary. */
function showTable(lab, table, bad, side, count, host) {
  if (table.side !== side || table.count !== count) {
    Object.assign(table, { side, count });
    setText(bad, "");
    table.replaceChildren(...["point", ...host.columns].map((name) => make("span", {}, name)),
      ...Array.from({ length: count }, (_, i) => numberRow(lab, bad, i, host)).flat());
  }
  const inputs = table.querySelectorAll("input");
  for (let i = 0; i < count; i++) {
    host.numbers(i).forEach((value, axis) => setValue(lab, inputs[2 * i + axis], tidy(value)));
  }
}

function numberRow(lab, bad, i, host) {
  const field = (axis) => {
    const name = `${host.titles[axis]} of point ${i + 1}`;
    const input = make("input", { type: "text", inputmode: "decimal", autocomplete: "off",
      "aria-label": name });
    input.disabled = axis === 0 && host.fixed(i);
    typedNumber(lab, input, bad, name, () => host.range(i, axis), (value) => {
      host.type(i, axis, value);
      endGesture(lab);
    });
    return input;
  };
  return [make("b", {}, String(i + 1)), field(0), field(1)];
}
