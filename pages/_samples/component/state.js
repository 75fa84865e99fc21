// The component's state: adopting it, and reporting to Python when dragging stops.

const REST_MS = 200;
const SAMPLER = ["method", "eta", "steps", "grid", "n", "seed", "class_label", "guidance",
  "guide", "guidance_points"];

/** A usable state from whatever came. */
function soundState(message, given) {
  const number = (value, low, high, otherwise) =>
    (Number.isFinite(value) ? clamp(value, low, high) : otherwise);
  const known = (list, name) => (list.some((each) => each.name === name) ? name : list[0].name);
  return {
    at: number(given.at, 0, 1, 1),
    chosen: Math.round(number(given.chosen, 0, message.most - 1, 0)),
    n: Math.round(number(given.n, 1, message.most, message.most)),
    seed: Math.round(number(given.seed, 0, 2 ** 31 - 1, 0)),
    steps: Math.round(number(given.steps, 1, message.stepsMost, 20)),
    eta: number(given.eta, 0, 1, 0),
    method: known(message.methods, given.method),
    grid: known(message.grids, given.grid),
    class_label: Math.round(number(given.class_label, -1, message.classes.length - 1, -1)),
    guidance: number(given.guidance, 1, message.guidanceMost, 1),
    guidance_points: message.guidanceMost > 1
      ? soundGuidance(given.guidance_points, message.guidanceMost) : null,
    guide: given.guide in message.guides ? given.guide : "null",
    zoom: given.zoom ? { ...given.zoom } : null,
    sides: [soundSide(message.sides[0], (given.sides || [])[0])],
  };
}

function copyState(state) {
  return { ...state, zoom: state.zoom && { ...state.zoom }, sides: copySides(state) };
}

/** All that the samples depend on, as text. */
function drawKey(lab) {
  const { state } = lab;
  return JSON.stringify([lab.message.revision, state.sides, state.zoom,
    ...SAMPLER.map((name) => state[name])]);
}

/** Takes up a new message: its state if the revision is new, else the component's own. */
function adopt(lab, message) {
  const kept = document.rgdiffBench;
  const first = !lab.message;
  const before = first ? kept && kept.revision : lab.message.revision;
  const fresh = before !== message.revision;
  if (first && kept) Object.assign(lab, kept.history);
  lab.message = message;
  lab.origin = soundState(message, message.state);
  if (fresh) {
    Object.assign(lab, { state: copyState(lab.origin), seq: 0, asked: null, coming: null });
    pause(lab);
    turnHistory(lab, before, message);
  } else {
    lab.state = soundState(message, first ? kept.state : lab.state);
    if (first) lab.seq = kept.seq + 1;
  }
  lab.live = message.live && !lab.deaf;
  if (fresh || first) {
    lab.key = drawKey(lab);
    const { model } = message.pageState.setting;
    if (model !== lab.model) showStored(lab, message.stored);
    lab.model = model;
    ask(lab);
  }
  if (!message.quick || (!fresh && first)) scheduleRest(lab);
  keep(lab);
}

function keep(lab) {
  const { revision } = lab.message;
  const history = ownHistory(lab);
  document.rgdiffBench = { revision, seq: lab.seq, state: copyState(lab.state), history };
}

function changed(lab) {
  const key = drawKey(lab);
  if (key !== lab.key) {
    if (lab.draw && lab.draw.stored) showStored(lab, lab.message.stored);
    lab.key = key;
    lab.seq += 1;
    lab.changedAt = performance.now();
    // a click or a typed number is over by then, a drag is not
    queueMicrotask(guarded(lab, () => ask(lab)));
  }
  keep(lab);
  repaint(lab);
  scheduleRest(lab);
}

/** Whether all samples of the present state are there. */
function isDrawn(lab) {
  return Boolean(lab.draw && lab.draw.seq === lab.seq && lab.draw.done && lab.draw.whole);
}

function restored() {}

function litBand() {
  return null;
}

function scheduleRest(lab) {
  lab.unsaid = true;
  clearTimeout(lab.restTimer);
  lab.restTimer = setTimeout(() => sendRest(lab), REST_MS);
  const previewed = lab.draw && lab.draw.seq === lab.seq && lab.draw.done && !lab.draw.whole;
  if (!lab.gesture && previewed && !lab.asked && !lab.stopped) ask(lab);
}

/** Reports to Python, once dragging stops and the samples of this state are drawn. */
function sendRest(lab) {
  const drawn = isDrawn(lab);
  const busy = lab.live && !lab.stopped && !drawn;
  if (!lab.unsaid || lab.gesture || lab.playing || lab.gone || busy) return;
  lab.unsaid = false;
  lab.setStateValue("client_state", report(lab));
}

/** What Python gets to know. */
function report(lab) {
  return { seq: lab.seq, revision: lab.message.revision, live: lab.live, drawn: isDrawn(lab),
    forked: lab.forked, ...copyState(lab.state) };
}
