// Elements, their events and the controls that every component has.

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

/** A text field for one number: a bad value leaves one sentence and the last good number. */
function typedNumber(lab, input, bad, name, range, accept) {
  on(lab, input, "input", () => {  // the good number, typed again, is no change
    bad.textContent = "";
    input.setAttribute("aria-invalid", "false");
  });
  on(lab, input, "change", () => {
    const [low, high] = range();
    const value = Number(input.value.trim().replace(",", "."));
    const good = input.value.trim() !== "" && Number.isFinite(value)
      && value >= low - 1e-9 && value <= high + 1e-9;
    input.setAttribute("aria-invalid", String(!good));
    bad.textContent = good ? ""
      : `${name} must be a number from ${tidy(low)} to ${tidy(high)}, not "${input.value}".`;
    if (good) accept(clamp(value, low, high));
    else lab.faulty = true;
    input.blur();
    repaint(lab);
  });
}

/** Takes back what was said of typed numbers, after a valid action. */
function forgive(lab) {
  if (!lab.faulty) return;
  lab.faulty = false;
  lab.root.querySelectorAll(".bad").forEach((bad) => setText(bad, ""));
  lab.root.querySelectorAll("[aria-invalid=true]").forEach((input) =>
    setAttributes(input, { "aria-invalid": false }));
}

function tidy(value) {
  return String(Number(value.toPrecision(4)));
}

function segment(lab, text, title, act) {
  const button = make("button", { title, "aria-pressed": "false" }, text);
  on(lab, button, "click", act);
  return button;
}

/**
 * A slider with a field to type in. `write(gesture, value)` changes the state; returns what shows
 * a value in both.
 */
function numberSlider(lab, host, { name, low, high, log, whole, label, help }, write) {
  const warp = log ? Math.log : (v) => v;
  const unwarp = log ? Math.exp : (v) => v;
  const toShare = (value) => (warp(value) - warp(low)) / (warp(high) - warp(low) || 1);
  const round = whole ? Math.round : (value) => Number(tidy(value));
  const range = make("input", { type: "range", min: 0, max: 1, step: 0.001,
    "aria-label": label, "aria-description": help || "" });
  const typed = make("input", { type: "text", inputmode: "decimal", autocomplete: "off",
    "aria-label": `${label}, typed` });
  const bad = make("p", { class: "bad", role: "alert" });
  const set = (gesture, value) => write(gesture, clamp(round(value), low, high));
  const at = (share) => unwarp(warp(low) + share * (warp(high) - warp(low)));
  on(lab, range, "input", () => set(name, at(range.value)));
  on(lab, range, "keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!way) return;
    event.preventDefault(); // the browser's own steps are those of a pixel
    const value = at(clamp(Number(range.value) + way * (event.shiftKey ? 0.002 : 0.02), 0, 1));
    const next = round(at(range.value)) + way;
    set(name, whole && (value - next) * way < 0 ? next : value);
    endGesture(lab);
  });
  on(lab, range, "change", () => endGesture(lab));
  typedNumber(lab, typed, bad, label, () => [low, high], (value) => {
    set(`${name}-typed`, value);
    endGesture(lab);
  });
  host.append(make("div", { class: "slider", title: help || "" },
    make("span", {}, label), range, typed, bad));
  return (value) => {
    setAttributes(range, { "aria-valuetext": tidy(value) });
    if (Math.abs(range.value - toShare(value)) > 6e-4) range.value = toShare(value);
    setValue(lab, typed, tidy(value));
  };
}

/** The slider of a schedule's or a colour's one number. */
function parameterSlider(lab, kind, { grid, log, label, help }) {
  const about = { name: kind, low: grid[0], high: grid[grid.length - 1], log, label, help };
  const show = numberSlider(lab, lab.el.sliders, about, (gesture, value) =>
    change(lab, gesture, (state) => { state.sides[lab.active][kind] = value; }));
  return (own) => show(own[kind]);
}

/** Pointer capture for anything that is dragged: start, move, and the gesture's end. */
function dragOn(lab, target, start, move) {
  let held = false;
  on(lab, target, "pointerdown", (event) => {
    if (event.button) return;
    held = true;
    target.setPointerCapture(event.pointerId);
    start(event);
  });
  on(lab, target, "pointermove", (event) => {
    if (held) move(event);
  });
  on(lab, target, "pointerup pointercancel lostpointercapture", () => {
    if (held) endGesture(lab);
    held = false;
  });
}

/** Whether a colour, in any of CSS' notations, is dark. */
function isDark(color) {
  const context = make("canvas", { width: 1, height: 1 }).getContext("2d");
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
  return 0.3 * r + 0.59 * g + 0.11 * b < 128;
}

/** Whether the control that has the focus needs this key for itself. */
function isTaken(event) {
  const target = event.composedPath()[0];
  if (event.altKey || target.matches("input[type=text]")) return true;
  if (event.ctrlKey || event.metaKey) return false;
  if (target.matches("button, summary, select") && /^( |Enter)$/.test(event.key)) return true;
  return target.matches("input[type=range], select") && /^(Arrow|Home|End|Page)/.test(event.key);
}
