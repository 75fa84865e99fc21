// Buttons, sliders and typed numbers: every control writes the state and shows it.

const SPEEDS = [0.25, 0.5, 1, 2, 4];
const TIME_STEP = 0.01;
const VIEW_NAMES = { a: "A", b: "B", side: "Side", wipe: "Wipe", blend: "Blend" };

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

/** From towards noise to towards the data, then there and back, and round again. */
function turnDirection(lab) {
  const back = lab.direction < 0;
  lab.direction = back || lab.loop ? 1 : -1;
  lab.loop = back && !lab.loop;
  repaint(lab);
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
  on(lab, el.play, "click", () => playOrPause(lab));
  on(lab, el.back, "click", () => stepTime(lab, -1));
  on(lab, el.forward, "click", () => stepTime(lab, 1));
  on(lab, el.time, "input", () => setTime(lab, Number(el.time.value)));
  on(lab, el.time, "change", () => endGesture(lab));
  typedNumber(lab, el.timeTyped, el.timeBad, "t", () => [0, 1],
    (value) => changeOnce(lab, "time", (state) => { state.t = value; }));
  el.speed.append(...SPEEDS.map((speed) => make("option", { value: speed }, `${speed}×`)));
  on(lab, el.speed, "change", () =>
    changeOnce(lab, "speed", (state) => { state.speed = Number(el.speed.value); }));
  on(lab, el.direction, "click", () => turnDirection(lab));
  on(lab, el.blend, "input", () =>
    change(lab, "blend", (state) => { state.blend = Number(el.blend.value); }));
  on(lab, el.blend, "change", () => endGesture(lab));
  on(lab, el.letGo, "click", () => setBand(lab, null, true));
  on(lab, el.png, "click", () => savePng(lab));
  on(lab, el.full, "click", () => (document.fullscreenElement
    ? document.exitFullscreen() : el.picture.requestFullscreen().catch(() => {})));
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
}

/** Shows the state in every control. */
function showControls(lab) {
  const { el, state } = lab;
  if (Math.abs(el.time.value - state.t) > 6e-4) el.time.value = state.t;
  setAttributes(el.time, { "aria-valuetext": `t = ${state.t.toFixed(3)}` });
  setValue(lab, el.timeTyped, state.t.toFixed(3));
  setValue(lab, el.speed, String(state.speed));
  showPlayButton(el, lab.playing || lab.film);
  const way = lab.loop ? "there and back" : lab.direction < 0 ? "towards the data" : "towards noise";
  setAttributes(el.direction, { "data-back": !lab.loop && lab.direction < 0, "data-loop": lab.loop,
    "aria-label": `Direction: ${way}` });
  if (Math.abs(el.blend.value - state.blend) > 6e-3) el.blend.value = state.blend;
  setText(el.blendValue, `${Math.round(state.blend * 100)} % B`);
  toggle(el.blendRow, state.view === "blend");
  setText(el.blendNote, lab.blendNote
    || (lab.blend ? "" : "The blend is being worked out; until then this is A."));
  [...el.views.children].forEach((button, i) =>
    setAttributes(button, { "aria-pressed": VIEWS[i] === state.view }));
  [...el.tabs.children].forEach((button, i) =>
    setAttributes(button, { "aria-pressed": i === lab.active }));
  lab.message.sides.forEach((side, i) =>
    setText([el.captionA, el.captionB][i], `${"AB"[i]} · ${titleOf(side, state.sides[i])}`));
  showSchedule(lab);
}
