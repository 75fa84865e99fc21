// Buttons, sliders and typed numbers: every control writes the state and shows it.

const SPEEDS = [0.25, 0.5, 1, 2, 4];
const TIME_STEP = 0.01;
const VIEW_NAMES = { a: "A", b: "B", side: "Side", wipe: "Wipe", blend: "Blend" };

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Writes only what differs, so that a frame without news costs no layout. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setValue(lab, input, value) {
  if (input.value !== value && input !== lab.root.getRootNode().activeElement) input.value = value;
}

function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  }
}

function toggle(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/** Keeps the focus in the lab when the control that has it goes away, so that keys go on working. */
function keepFocus(lab, control) {
  const focused = lab.root.getRootNode().activeElement;
  if (focused && control.contains(focused)) lab.root.focus({ preventScroll: true });
}

function enable(lab, button, usable) {
  if (button.disabled !== usable) return;
  if (!usable) keepFocus(lab, button);
  button.disabled = !usable;
}

/** A handler that turns a fault into a sentence instead of an exception in the console. */
function guarded(lab, handler) {
  return (event) => {
    try {
      return handler(event);
    } catch (error) {
      showProblem(lab, error);
      return undefined;
    }
  };
}

function on(lab, target, names, handler, options) {
  for (const name of names.split(" ")) {
    target.addEventListener(name, guarded(lab, handler), { signal: lab.ending, ...options });
  }
}

function showProblem(lab, error) {
  const shown = lab.message ? " The last good picture stays." : "";
  lab.el.problem.textContent = `${error.message || error}${shown}`;
  lab.el.problem.hidden = false;
}

function stepTime(lab, steps) {
  pause(lab);
  changeOnce(lab, "time", (state) => {
    state.t = clamp(rounded(state.t + steps * TIME_STEP), 0, 1);
  });
}

function setTime(lab, t) {
  pause(lab);
  change(lab, "time", (state) => { state.t = clamp(rounded(t), 0, 1); });
}

function changeSpeed(lab, steps) {
  const at = SPEEDS.findIndex((speed) => speed >= lab.state.speed - 1e-9);
  const next = SPEEDS[clamp((at < 0 ? SPEEDS.length : at) + steps, 0, SPEEDS.length - 1)];
  changeOnce(lab, "speed", (state) => { state.speed = next; });
}

function setView(lab, view) {
  if (lab.message.sides.length < 2 && view !== "a") return;
  if (view === lab.state.view) return;
  if (view === "a" || view === "b") lab.active = view === "b" ? 1 : 0;
  changeOnce(lab, "view", (state) => { state.view = view; });
}

function setActive(lab, side) {
  lab.active = side;
  if (lab.state.view === "a" || lab.state.view === "b") setView(lab, side ? "b" : "a");
  repaint(lab);
}

function wireControls(lab) {
  const { el } = lab;
  on(lab, el.play, "click", () => (lab.playing ? pause(lab) : play(lab)));
  on(lab, el.back, "click", () => stepTime(lab, -1));
  on(lab, el.forward, "click", () => stepTime(lab, 1));
  on(lab, el.time, "input", () => setTime(lab, Number(el.time.value)));
  on(lab, el.time, "change", () => endGesture(lab));
  typedNumber(lab, el.timeTyped, el.timeBad, "t", () => [0, 1],
    (value) => changeOnce(lab, "time", (state) => { state.t = value; }));
  el.speed.append(...SPEEDS.map((speed) => make("option", { value: speed }, `${speed}×`)));
  on(lab, el.speed, "change", () =>
    changeOnce(lab, "speed", (state) => { state.speed = Number(el.speed.value); }));
  on(lab, el.direction, "click", () => {
    lab.direction = -lab.direction;
    repaint(lab);
  });
  on(lab, el.blend, "input", () =>
    change(lab, "blend", (state) => { state.blend = Number(el.blend.value); }));
  on(lab, el.blend, "change", () => endGesture(lab));
  on(lab, el.undo, "click", () => undo(lab));
  on(lab, el.redo, "click", () => redo(lab));
  on(lab, el.reset, "click", () => resetCurve(lab));
  on(lab, el.letGo, "click", () => setBand(lab, null, true));
  on(lab, el.help, "click", () => el.keys.showModal());
  on(lab, el.png, "click", () => savePng(lab));
  on(lab, el.full, "click", () => (document.fullscreenElement
    ? document.exitFullscreen() : el.picture.requestFullscreen().catch(() => {})));
}

function resetCurve(lab) {
  const { points } = lab.origin.sides[lab.active];
  changeOnce(lab, "reset", (state) => { state.sides[lab.active].points = points; });
}

/** A text field for one number: a bad value leaves one sentence and the last good number. */
function typedNumber(lab, input, bad, name, range, accept) {
  on(lab, input, "change", () => {
    const [low, high] = range();
    const value = Number(input.value.trim().replace(",", "."));
    const good = input.value.trim() !== "" && Number.isFinite(value)
      && value >= low - 1e-9 && value <= high + 1e-9;
    input.setAttribute("aria-invalid", String(!good));
    bad.textContent = good ? ""
      : `${name} must be a number from ${tidy(low)} to ${tidy(high)}, not "${input.value}".`;
    if (good) accept(clamp(value, low, high));
    input.blur();
    repaint(lab);
  });
}

function tidy(value) {
  return String(Number(value.toPrecision(4)));
}

/** Rebuilds what depends on the message: views, tabs, sliders. */
function buildControls(lab) {
  const { el, message } = lab;
  const two = message.sides.length === 2;
  toggle(el.views, two);
  toggle(el.tabs, two);
  el.views.replaceChildren(...VIEWS.map((view, i) =>
    segment(lab, VIEW_NAMES[view], `${VIEW_NAMES[view]} (${i + 1})`, () => setView(lab, view))));
  el.tabs.replaceChildren(...["A", "B"].map((name, i) => {
    const button = segment(lab, name, `Edit side ${name}`, () => setActive(lab, i));
    button.classList.add(name.toLowerCase());
    return button;
  }));
  lab.built = null;
  el.captionA.textContent = `A · ${message.sides[0].title}`;
  el.captionB.textContent = two ? `B · ${message.sides[1].title}` : "";
}

function segment(lab, text, title, act) {
  const button = make("button", { title, "aria-pressed": "false" }, text);
  on(lab, button, "click", act);
  return button;
}

/** Rebuilds what depends on the side that is edited: title, presets, sliders. */
function buildSide(lab) {
  const { el, message } = lab;
  const side = message.sides[lab.active];
  lab.built = side;
  setText(el.title, side.title);
  setText(el.note, side.note || "");
  el.presets.replaceChildren(...(side.path ? Object.entries(side.presets || {}) : [])
    .filter(([, points]) => arePoints(points))
    .map(([name, points]) => {
      const button = make("button", { title: `The path "${name}"` }, name);
      button.points = points;
      on(lab, button, "click", () => changeOnce(lab, "preset", (state) => {
        state.sides[lab.active].points = points;
      }));
      return button;
    }));
  for (const part of [el.tools, el.numbers]) toggle(part, side.path);
  el.sliders.replaceChildren();
  lab.sliders = ["shape", "tint"].filter((kind) => side[kind]).map((kind) =>
    parameterSlider(lab, kind, side[kind]));
}

function parameterSlider(lab, kind, parameter) {
  const { grid, log, label, help } = parameter;
  const [low, high] = [grid[0], grid[grid.length - 1]];
  const warp = log ? Math.log : (v) => v;
  const unwarp = log ? Math.exp : (v) => v;
  const toShare = (value) => (warp(value) - warp(low)) / (warp(high) - warp(low) || 1);
  const range = make("input", { type: "range", min: 0, max: 1, step: 0.001,
    "aria-label": label, "aria-description": help || "" });
  const typed = make("input", { type: "text", inputmode: "decimal", autocomplete: "off",
    "aria-label": `${label}, typed` });
  const bad = make("p", { class: "bad", role: "alert" });
  const set = (gesture, value) => change(lab, gesture, (state) => {
    state.sides[lab.active][kind] = clamp(value, low, high);
  });
  on(lab, range, "input", () =>
    set(kind, Number(tidy(unwarp(warp(low) + range.value * (warp(high) - warp(low)))))));
  on(lab, range, "change", () => endGesture(lab));
  typedNumber(lab, typed, bad, label, () => [low, high], (value) => {
    set(`${kind}-typed`, value);
    endGesture(lab);
  });
  lab.el.sliders.append(make("div", { class: "slider", title: help || "" },
    make("span", {}, label), range, typed, bad));
  return (own) => {
    setAttributes(range, { "aria-valuetext": tidy(own[kind]) });
    if (Math.abs(range.value - toShare(own[kind])) > 6e-4) range.value = toShare(own[kind]);
    setValue(lab, typed, tidy(own[kind]));
  };
}

/** Shows the state in every control. */
function showControls(lab) {
  const { el, message, state } = lab;
  if (lab.built !== message.sides[lab.active]) buildSide(lab);
  const own = state.sides[lab.active];
  if (Math.abs(el.time.value - state.t) > 6e-4) el.time.value = state.t;
  setAttributes(el.time, { "aria-valuetext": `t = ${state.t.toFixed(3)}` });
  setValue(lab, el.timeTyped, state.t.toFixed(3));
  setValue(lab, el.speed, String(state.speed));
  setAttributes(el.play, { "aria-label": lab.playing ? "Pause" : "Play" });
  setAttributes(el.playIcon, { d: lab.playing ? "M6 4h3v12H6zm5 0h3v12h-3z" : "m6 4 10 6-10 6z" });
  setAttributes(el.direction, { "data-back": lab.direction < 0,
    "aria-label": lab.direction < 0 ? "Direction: towards the data" : "Direction: towards noise" });
  if (Math.abs(el.blend.value - state.blend) > 6e-3) el.blend.value = state.blend;
  setText(el.blendValue, `${Math.round(state.blend * 100)} % B`);
  toggle(el.blendRow, state.view === "blend");
  setText(el.blendNote, lab.blendNote
    || (lab.blend ? "" : "The blend is being worked out; until then this is A."));
  [...el.views.children].forEach((button, i) =>
    setAttributes(button, { "aria-pressed": VIEWS[i] === state.view }));
  [...el.tabs.children].forEach((button, i) =>
    setAttributes(button, { "aria-pressed": i === lab.active }));
  [...el.presets.children].forEach((button) =>
    setAttributes(button, { "aria-pressed": samePoints(button.points, own.points) }));
  enable(lab, el.undo, lab.past.length > 0);
  enable(lab, el.redo, lab.future.length > 0);
  enable(lab, el.remove, lab.point > 0 && lab.point < own.points.length - 1);
  enable(lab, el.add, own.points.length < message.sides[lab.active].points_max);
  lab.sliders.forEach((show) => show(own));
}

function samePoints(first, second) {
  return first === second || (first.length === second.length
    && first.every((p, i) => Math.abs(p[0] - second[i][0]) + Math.abs(p[1] - second[i][1]) < 1e-6));
}
