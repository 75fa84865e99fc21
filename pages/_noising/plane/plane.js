// The component: one instance per mount, one animation frame that paints what changed.

const PLANES = new WeakMap();
const REST_MS = 250;
const PLAY_SECONDS = 5;

function repaint(lab) {
  if (!lab.request && !lab.gone) lab.request = requestAnimationFrame((now) => onFrame(lab, now));
}

function onFrame(lab, now) {
  lab.request = 0;
  if (!lab.message) return;
  const began = performance.now();
  try {
    if (lab.playing) advance(lab, now);
    lab.moments = [{ u: ordinateAt(lab.message.sides[0], lab.state.sides[0], lab.state.t) }];
    showPicture(lab);
    showTransport(lab);
    showSchedule(lab);
    showEditor(lab);
  } catch (error) {
    lab.playing = false;
    showProblem(lab, error);
  }
  lab.root.rgdiffFrames.push({ at: now, cost: performance.now() - began });
  if (lab.root.rgdiffFrames.length > 600) lab.root.rgdiffFrames.shift();
  if (lab.playing) repaint(lab);
}

/** One message of the plane, checked. */
function readPlane(bytes) {
  const message = unpack(bytes);
  const { header } = message;
  if (header.kind !== "plane") throw new Error("The page expects a message of the plane.");
  const [sent] = header.sides;
  const alpha = takeShaped(message, "alpha", [null, null, 2]);
  const [parameters, ordinates] = alpha.shape;
  const side = { ...sent, bands: 2, parameters, ordinates, alpha: alpha.values,
    sigma: takeShaped(message, "sigma", alpha.shape).values,
    spread: takeShaped(message, "spread", [null, 2]).values,
    front: sent.path ? takeShaped(message, "front", [parameters, ordinates]).values : null,
    cutoffs: sent.path ? takeShaped(message, "cutoff", [parameters, ordinates]).values : null };
  const axis = message.take("axis").values;
  const { values } = takeShaped(message, "starts", [null, 2]);
  return { revision: String(header.revision), state: header.state, sides: [side],
    starts: Array.from({ length: values.length / 2 },
      (_, i) => [values[2 * i], values[2 * i + 1]]),
    theory: { axis, density: takeShaped(message, "density", [axis.length, axis.length]).values,
      variance: message.take("variance").values, reach: axis[axis.length - 1] } };
}

function soundState(message, given) {
  return { t: Number.isFinite(given.t) ? clamp(given.t, 0, 1) : 0.3,
    sides: [soundSide(message.sides[0], (given.sides || [])[0])] };
}

function copyState(state) {
  return { ...state, sides: copySides(state) };
}

function adopt(lab, message) {
  const kept = lab.message || document.rgdiffPlane;
  const fresh = !kept || kept.revision !== message.revision;
  const state = lab.message ? lab.state : kept && kept.state;
  lab.message = message;
  lab.origin = soundState(message, message.state);
  lab.state = fresh ? copyState(lab.origin) : soundState(message, state);
  if (fresh) Object.assign(lab, { past: [], future: [], playing: false });
  lab.built = null;
}

function changed(lab) {
  document.rgdiffPlane = { revision: lab.message.revision, state: copyState(lab.state) };
  repaint(lab);
  scheduleRest(lab);
}

function scheduleRest(lab) {
  clearTimeout(lab.restTimer);
  lab.restTimer = setTimeout(() => {
    if (lab.gesture || lab.playing || lab.gone) return;
    lab.setStateValue("client_state", { revision: lab.message.revision, ...copyState(lab.state) });
  }, REST_MS);
}

function restored() {}

function litBand() {
  return null;
}

function timeNow(lab) {
  return lab.state.t;
}

function play(lab) {
  change(lab, "time", (state) => { if (state.t <= 0) state.t = 1; });
  startPlaying(lab);
}

function pause(lab) {
  if (lab.playing) stopPlaying(lab);
}

/** From noise to data. */
function advance(lab, now) {
  const t = rounded(Math.max(0, lab.state.t - secondsPlayed(lab, now) / PLAY_SECONDS));
  change(lab, "time", (state) => { state.t = t; });
  if (t <= 0) pause(lab);
}

function setTime(lab, t) {
  pause(lab);
  change(lab, "time", (state) => { state.t = clamp(rounded(t), 0, 1); });
}

function wirePlane(lab) {
  const { el } = lab;
  on(lab, el.play, "click", () => (lab.playing ? pause(lab) : play(lab)));
  on(lab, el.time, "input", () => setTime(lab, Number(el.time.value)));
  on(lab, el.time, "change", () => endGesture(lab));
  on(lab, lab.root, "keydown", (event) => {
    event.stopPropagation(); // Streamlit has its own keys on the document
    if (!lab.message || event.defaultPrevented || isTaken(event)) return;
    if (event.ctrlKey || event.metaKey) return void undoKey(lab, event);
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key] || 0;
    const step = (event.shiftKey ? 0.1 : 0.01) * way;
    if (event.key === " ") (lab.playing ? pause : play)(lab);
    else if (step) setTime(lab, lab.state.t + step);
    else return;
    event.preventDefault();
  });
  on(lab, lab.root, "keyup", (event) => {
    event.stopPropagation();
    if (lab.gesture) endGesture(lab);
  });
}

function showTransport(lab) {
  const { el, state } = lab;
  if (Math.abs(el.time.value - state.t) > 6e-4) el.time.value = state.t;
  setText(el.place, `t = ${state.t.toFixed(3)}`);
  setAttributes(el.time, { "aria-valuetext": `t = ${state.t.toFixed(3)}` });
  showPlayButton(el, lab.playing);
}

function createPlane(parent) {
  const el = {};
  parent.querySelectorAll("[data-ref]").forEach((part) => { el[part.dataset.ref] = part; });
  const ending = new AbortController();
  const lab = { el, root: el.root, ending: ending.signal, end: () => ending.abort(), message: null,
    state: null, past: [], future: [], gesture: null, lastGesture: null, playing: false, active: 0,
    point: -1, handles: [], sliders: [], request: 0, gone: false, curveHeight: 200 };
  lab.root.rgdiffFrames = [];
  wireSchedule(lab);
  wireEditor(lab);
  wirePlane(lab);
  lab.watch = new ResizeObserver(guarded(lab, () => resize(lab)));
  lab.watch.observe(lab.root);
  return lab;
}

function resize(lab) {
  if (!lab.message || !lab.root.clientWidth) return;
  const paper = getComputedStyle(lab.root).getPropertyValue("--st-background-color").trim();
  setAttributes(lab.root, { "data-theme": isDark(paper || "#fff") ? "dark" : "light" });
  lab.frame = null;
  sizePicture(lab);
  repaint(lab);
}

function destroyPlane(lab) {
  lab.gone = true;
  cancelAnimationFrame(lab.request);
  clearTimeout(lab.restTimer);
  lab.watch.disconnect();
  lab.end();
}

export default function mount(component) {
  const { parentElement, data, setStateValue } = component;
  let lab = PLANES.get(parentElement);
  if (!lab || !lab.root.isConnected) {
    if (lab) destroyPlane(lab);
    lab = createPlane(parentElement);
    PLANES.set(parentElement, lab);
  }
  lab.setStateValue = setStateValue;
  try {
    if (data !== lab.bytes) {
      lab.bytes = data;
      adopt(lab, readPlane(data));
      lab.el.columns.hidden = false;
    }
    resize(lab);
  } catch (error) {
    showProblem(lab, error);
  }
  return () => {
    destroyPlane(lab);
    PLANES.delete(parentElement);
  };
}
