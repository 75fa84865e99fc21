// Class and guidance: one number, or a curve s(k/k_max) whose points are dragged, moved by keys,
// added, removed and typed. Its points may rise and fall; those of Λ(t) only fall.

const GUIDED = 2; // the guidance that a class begins with
const GUIDANCE_HEIGHT = 170;

function wireGuidance(lab) {
  const { el } = lab;
  on(lab, el.classLabel, "change", () =>
    changeOnce(lab, "class", (state) => chooseClass(state, Number(el.classLabel.value))));
  on(lab, el.guide, "change", () =>
    changeOnce(lab, "guide", (state) => { state.guide = el.guide.value; }));
  on(lab, el.constant, "click", () =>
    changeOnce(lab, "guidance-kind", (state) => { state.guidance_points = null; }));
  on(lab, el.byScale, "click", () => changeOnce(lab, "guidance-kind", (state) => {
    state.guidance_points = state.guidance_points || [[0, state.guidance], [1, state.guidance]];
  }));
  on(lab, el.guidanceCurve, "dblclick", (event) => {
    const target = event.composedPath()[0];
    const index = lab.guidanceHandles.findIndex((handle) => handle.contains(target));
    if (index >= 0) return void deleteGuidance(lab, index);
    const [k, s] = guidanceAt(lab, event);
    if (k > 0 && k < 1) addGuidance(lab, rounded(k), s);
  });
  on(lab, el.addGuidance, "click", () =>
    addGuidance(lab, roomyTime(lab.state.guidance_points, 0.5), null));
  on(lab, el.removeGuidance, "click", () => deleteGuidance(lab, lab.guidancePoint));
  on(lab, el.guidanceNumbers, "toggle", () => repaint(lab));
}

/** Changes the class; a first one begins with guidance, any class ends that by the null label. */
function chooseClass(state, label) {
  if (label < 0 && state.guide === "null") {
    Object.assign(state, { guidance: 1, guidance_points: null });
  } else if (state.class_label < 0 && !isGuided(state)) state.guidance = GUIDED;
  state.class_label = label;
}

function isGuided(state) {
  return state.guidance_points !== null || state.guidance !== 1;
}

/** Whether a network is evaluated a second time, with the null label. */
function asksTwice(state) {
  return isGuided(state) && state.class_label >= 0 && state.guide === "null";
}

/** Points [[k, s], …] from scale 0 to scale 1, each s in [0, most]; null for anything else. */
function soundGuidance(points, most) {
  const sound = Array.isArray(points) && points.length >= 2
    && points.every((p) => Array.isArray(p) && p.length === 2 && p.every(Number.isFinite)
      && p[1] >= 0 && p[1] <= most)
    && points[0][0] === 0 && points[points.length - 1][0] === 1
    && points.every((p, i) => i === 0 || p[0] > points[i - 1][0]);
  return sound ? points : null;
}

function changeGuidance(lab, gesture, points) {
  change(lab, gesture, (state) => { state.guidance_points = points; });
}

function moveGuidance(lab, gesture, index, k, s) {
  const points = lab.state.guidance_points;
  const { tLow, tHigh } = pointRange(points, index);
  const moved = [clamp(rounded(k), tLow, tHigh), clamp(rounded(s), 0, lab.message.guidanceMost)];
  changeGuidance(lab, gesture, points.map((point, i) => (i === index ? moved : point)));
}

function addGuidance(lab, k, s) {
  const points = lab.state.guidance_points;
  const at = points.findIndex((point) => point[0] > k);
  const tight = at < 1 || points.length >= lab.message.guidancePointsMost
    || k - points[at - 1][0] < POINT_GAP || points[at][0] - k < POINT_GAP;
  if (tight) return;
  const wanted = rounded(s === null ? curveThrough(points)(k) : s);
  const value = clamp(wanted, 0, lab.message.guidanceMost);
  changeGuidance(lab, "add-guidance", [...points.slice(0, at), [k, value], ...points.slice(at)]);
  lab.guidancePoint = at;
  endGesture(lab);
}

function deleteGuidance(lab, index) {
  const points = removePoint(lab.state.guidance_points, index);
  if (points === lab.state.guidance_points) return;
  changeGuidance(lab, "remove-guidance", points);
  lab.guidancePoint = Math.min(index, points.length - 2);
  endGesture(lab);
}

/** Scale and guidance under the pointer. */
function guidanceAt(lab, event) {
  const box = lab.el.guidanceCurve.getBoundingClientRect();
  const frame = lab.guidanceFrame;
  const value = frame.v(event.clientY - box.top) * lab.message.guidanceMost;
  return [frame.t(event.clientX - box.left), value];
}

/** Rebuilds what depends on the message. */
function buildGuidance(lab, slider) {
  const { el, message } = lab;
  el.classLabel.replaceChildren(...["any class", ...message.classes].map((title, i) =>
    make("option", { value: i - 1 }, title)));
  toggle(el.classField, message.classes.length > 0);
  el.guide.replaceChildren(...Object.entries(message.guides).map(([value, title]) =>
    make("option", { value }, title)));
  toggle(el.lead, message.guidanceMost > 1);
  el.guidanceSlider.replaceChildren();
  lab.guidanceFrame = null;
  if (message.guidanceMost <= 1) return;
  lab.numbers.guidance = slider(el.guidanceSlider, { name: "guidance", low: 1,
    high: message.guidanceMost, label: "Guidance s",
    help: "D = u + s (model − u) with the guide u: 1 is off, above it samples become clearer and "
      + "less varied." });
}

function showGuidance(lab) {
  const { el, message, state } = lab;
  if (message.guidanceMost <= 1) return;
  const points = state.guidance_points;
  setValue(lab, el.classLabel, String(state.class_label));
  setValue(lab, el.guide, state.class_label < 0 ? "free" : state.guide);
  el.guide.disabled = state.class_label < 0;
  setAttributes(el.guide, { title: state.class_label < 0
    ? "For any class the guide is the free theory, which costs no evaluation of the network."
    : "The null label evaluates the network twice. The free theory costs nothing, but made samples "
      + "of CIFAR-10 worse where it was measured (Results, FID and KID)." });
  setAttributes(el.constant, { "aria-pressed": points === null });
  setAttributes(el.byScale, { "aria-pressed": points !== null });
  toggle(el.guidanceSlider, points === null);
  toggle(el.guidanceEditor, points !== null);
  if (points !== null) showGuidanceCurve(lab, points);
}

function sizeGuidance(lab) {
  const svg = lab.el.guidanceCurve;
  const width = Math.max(240, svg.clientWidth || 480);
  if (lab.guidanceFrame && lab.guidanceFrame.width === width) return;
  lab.guidanceFrame = frameOf(width, GUIDANCE_HEIGHT);
  const frame = lab.guidanceFrame;
  const most = lab.message.guidanceMost;
  svg.setAttribute("viewBox", `0 0 ${width} ${GUIDANCE_HEIGHT}`);
  svg.setAttribute("height", GUIDANCE_HEIGHT);
  const grid = makeSvg("g", { class: "grid" });
  for (let s = 0; s <= most; s += 1) {
    const y = frame.y(s / most);
    grid.append(makeSvg("line", { x1: frame.x(0), x2: frame.x(1), y1: y, y2: y,
      class: s === 1 ? "off" : "" }));
    if (s % 2 === 0 || s === 1) grid.append(label(s, frame.x(0) - 13, y + 4, "end"));
  }
  for (const k of [0, 0.5, 1]) {
    const x = frame.x(k);
    grid.append(makeSvg("line", { x1: x, x2: x, y1: frame.y(0), y2: frame.y(1) }));
    grid.append(label(k, frame.x(k), frame.y(0) + 18, "middle"));
  }
  grid.append(label("scale k/k_max: coarse → fine", frame.x(0.5), GUIDANCE_HEIGHT - 1, "middle"));
  const upright = label("guidance s", 0, 0, "middle");
  upright.setAttribute("transform", `translate(12 ${frame.y(0.5)}) rotate(-90)`);
  lab.guidanceShapes = {
    line: makeSvg("path", { class: "own" }),
    points: makeSvg("g", { class: "points" }),
  };
  svg.replaceChildren(grid, upright, ...Object.values(lab.guidanceShapes));
  lab.guidanceHandles = [];
}

function showGuidanceCurve(lab, points) {
  sizeGuidance(lab);
  const { el, message, guidanceFrame: frame, guidanceShapes: shapes } = lab;
  const most = message.guidanceMost;
  const value = curveThrough(points);
  setAttributes(shapes.line, { d: pathData(frame, (k) => value(k) / most) });
  if (lab.guidanceHandles.length !== points.length) {
    const held = lab.guidanceHandles.includes(lab.root.getRootNode().activeElement);
    lab.guidanceHandles = points.map((_, i) => guidanceHandle(lab, i));
    shapes.points.replaceChildren(...lab.guidanceHandles);
    const chosen = lab.guidanceHandles[clamp(lab.guidancePoint, 0, points.length - 1)];
    if (held) chosen.focus({ preventScroll: true });
  }
  points.forEach(([k, s], i) => setAttributes(lab.guidanceHandles[i], {
    transform: `translate(${frame.x(k).toFixed(1)} ${frame.y(s / most).toFixed(1)})`,
    "aria-label": `Guidance point ${i + 1} of ${points.length}`,
    "aria-valuemax": most, "aria-valuenow": s.toFixed(3),
    "aria-valuetext": `guidance ${s.toFixed(2)} at scale ${k.toFixed(3)}`,
    "data-chosen": i === lab.guidancePoint,
  }));
  enable(lab, el.addGuidance, points.length < message.guidancePointsMost);
  enable(lab, el.removeGuidance, lab.guidancePoint > 0 && lab.guidancePoint < points.length - 1);
  showGuidanceNumbers(lab, points);
}

/** One handle, in the shape of those of Λ(t). */
function guidanceHandle(lab, index) {
  const handle = makeSvg("g", { class: "point", tabindex: 0, role: "slider", "aria-valuemin": 0 });
  handle.append(makeSvg("circle", { class: "target", r: 21 }),
    makeSvg("circle", { class: "ring", r: 11 }), makeSvg("circle", { class: "knob", r: 6.5 }));
  const choosePoint = () => {
    lab.guidancePoint = index;
    repaint(lab);
  };
  let grip = [0, 0];
  dragOn(lab, handle, (event) => {
    const [k, s] = guidanceAt(lab, event);
    const [ownK, ownS] = lab.state.guidance_points[index];
    grip = [ownK - k, ownS - s];
    choosePoint();
  }, (event) => {
    const [k, s] = guidanceAt(lab, event);
    moveGuidance(lab, `guidance-${index}`, index, k + grip[0], s + grip[1]);
  });
  on(lab, handle, "focus", choosePoint);
  on(lab, handle, "keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 1;
    const moves = {
      ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1],
    };
    const move = moves[event.key];
    const [k, s] = lab.state.guidance_points[index];
    const gesture = `key-guidance-${index}`;
    if (move) moveGuidance(lab, gesture, index, k + step * move[0], s + step * move[1]);
    else if (event.key === "Delete" || event.key === "Backspace") deleteGuidance(lab, index);
    else return;
    event.preventDefault();
  });
  return handle;
}

/** The points as numbers to type: one row of k/k_max and s for each. */
function showGuidanceNumbers(lab, points) {
  const { guidanceNumbers, guidanceTable: table, guidanceBad } = lab.el;
  if (!guidanceNumbers.open) return;
  if (table.count !== points.length) {
    table.count = points.length;
    setText(guidanceBad, "");
    table.replaceChildren(make("span", {}, "point"), make("span", {}, "scale k/k_max"),
      make("span", {}, "guidance s"),
      ...points.flatMap((_, i) => guidanceRow(lab, i, points.length)));
  }
  const inputs = table.querySelectorAll("input");
  points.flat().forEach((value, i) => setValue(lab, inputs[i], tidy(value)));
}

function guidanceRow(lab, i, count) {
  const field = (axis, name) => {
    const input = make("input", { type: "text", inputmode: "decimal", autocomplete: "off",
      "aria-label": `${name} of guidance point ${i + 1}` });
    input.disabled = axis === 0 && (i === 0 || i === count - 1);
    const range = () => {
      const { tLow, tHigh } = pointRange(lab.state.guidance_points, i);
      return axis ? [0, lab.message.guidanceMost] : [tLow, tHigh];
    };
    typedNumber(lab, input, lab.el.guidanceBad, `${name} of point ${i + 1}`, range, (value) => {
      const [k, s] = lab.state.guidance_points[i];
      moveGuidance(lab, "typed-guidance", i, axis ? k : value, axis ? value : s);
      endGesture(lab);
    });
    return input;
  };
  return [make("b", {}, String(i + 1)), field(0, "Scale"), field(1, "Guidance")];
}
