// The component's state: adopting it, changing it, undoing, and reporting to Python at rest.

const VIEWS = ["a", "b", "side", "wipe", "blend"];
const REST_MS = 150;
const FLIGHT_MS = 1500;

/** A usable state from whatever came: every number in range, every path monotone. */
function soundState(message, given) {
  const number = (value, low, high, otherwise) =>
    (Number.isFinite(value) ? clamp(value, low, high) : otherwise);
  const two = message.sides.length === 2;
  return {
    t: number(given.t, 0, 1, 0.35),
    view: VIEWS.includes(given.view) && (two || given.view === "a") ? given.view : "a",
    wipe: number(given.wipe, 0, 1, 0.5),
    blend: number(given.blend, 0, 1, 0.5),
    speed: nearestSpeed(number(given.speed, 0.01, 100, 1)),
    sides: message.sides.map((side, i) => soundSide(side, (given.sides || [])[i])),
  };
}

function nearestSpeed(speed) {
  const apart = (other) => Math.abs(Math.log(other / speed));
  return SPEEDS.reduce((best, each) => (apart(each) < apart(best) ? each : best));
}

function copyState(state) {
  return { ...state, sides: copySides(state) };
}

/** States by message id and revision, so that a lab mounted again in this tab goes on as it was. */
function keptStates() {
  if (!document.rgdiffStates) document.rgdiffStates = new Map();
  return document.rgdiffStates;
}

/**
 * Takes up a new message: its state if the revision is new, with seq 0; else the lab's own, made to
 * fit, as a change of state, for the exact picture in hand is of the message before.
 */
function adopt(lab, message) {
  const kept = keptStates().get(message.id);
  const first = !lab.message;
  const before = first ? kept && kept.revision : lab.message.revision;
  const fresh = before !== message.revision;
  if (first && kept) Object.assign(lab, kept.history);
  lab.message = message;
  lab.sheet = sheetOf(message.images);
  lab.origin = soundState(message, message.state);
  if (fresh) {
    Object.assign(lab, { state: copyState(lab.origin), seq: 0, sentSeq: 0, playing: false });
    Object.assign(lab, { blend: null, blendNote: "", flight: null });
    turnHistory(lab, before, message);
  } else {
    lab.state = soundState(message, first ? kept.state : lab.state);
    if (first) Object.assign(lab, { seq: kept.seq, sentSeq: -1 });
    else lab.seq += 1;
  }
  lab.exact = null;
  lab.film = null;
  lab.opening = fresh && message.opening;
  lab.image = Math.min(lab.image, message.images.n - 1);
  lab.active = lab.state.view === "b" ? 1 : Math.min(lab.active, message.sides.length - 1);
  setBand(lab, null, true);
  keep(lab);
  if (lab.sentSeq !== lab.seq) scheduleRest(lab);
  if (document.rgdiffSettled) settle(lab, document.rgdiffSettled);
}

function keep(lab) {
  const { revision, id } = lab.message;
  const history = ownHistory(lab);
  keptStates().set(id, { revision, seq: lab.seq, state: copyState(lab.state), history });
}

function changed(lab, sameExact) {
  lab.seq += 1;
  if (!sameExact) lab.exact = null;
  keep(lab);
  repaint(lab);
  scheduleRest(lab);
}

/** The time at which the curve's editor has its mark. */
function timeNow(lab) {
  return lab.state.t;
}

/** Follows a state that undo or redo brought back. */
function restored(lab) {
  if (lab.state.view === "a" || lab.state.view === "b") lab.active = lab.state.view === "b" ? 1 : 0;
}

function scheduleRest(lab) {
  clearTimeout(lab.restTimer);
  if (lab.playing || lab.gesture) return;
  lab.restTimer = setTimeout(() => sendRest(lab), REST_MS);
}

function sendRest(lab) {
  if (lab.playing || lab.gesture || lab.sentSeq === lab.seq || lab.gone) return;
  const waited = lab.flight ? performance.now() - lab.flight.at : FLIGHT_MS;
  if (waited < FLIGHT_MS) {
    clearTimeout(lab.restTimer);
    lab.restTimer = setTimeout(() => sendRest(lab), FLIGHT_MS - waited);
    return;
  }
  lab.flight = { seq: lab.seq, at: performance.now() };
  lab.sentSeq = lab.seq;
  lab.setStateValue("client_state", report(lab));
}

/** What Python gets to know. */
function report(lab) {
  return { seq: lab.seq, revision: lab.message.revision, forked: lab.forked, ...copyState(lab.state) };
}

/** Takes in what Python computed for a state that rested. */
function settle(lab, bytes) {
  if (!lab.message) return;
  const settled = readSettled(bytes);
  if (lab.opened) keepPresent(lab);
  if (settled.revision !== lab.message.revision) return;
  if (lab.flight && settled.seq >= lab.flight.seq) {
    lab.flight = null;
    if (lab.sentSeq !== lab.seq) scheduleRest(lab);
  }
  const sides = lab.message.sides;
  const problem = lab.presenting ? settled.problem : ""; // else it stands above the lab
  setText(lab.el.problem, problem);
  lab.el.problem.hidden = !problem;
  lab.blendNote = settled.blendNote;
  lab.blend = settled.blend && settled.blend.bands === sides[0].bands ? settled.blend : null;
  if (settled.seq === lab.seq) {
    const size = lab.message.images.n * lab.message.images.size;
    const fit = (values) => (values && values.length === size ? values : null);
    const { bits, blendExact, exact } = settled;
    lab.exact = { sides: exact.map(fit), blend: fit(blendExact), bits };
    if (lab.opening) startFilm(lab);
  }
  repaint(lab);
}

function play(lab) {
  if (lab.playing) return;
  const { t } = lab.state;
  if (lab.loop && (t <= 0 || t >= 1)) lab.direction = t >= 1 ? -1 : 1;
  else change(lab, "time", (state) => {
    if (lab.direction > 0 && t >= 1) state.t = 0;
    if (lab.direction < 0 && t <= 0) state.t = 1;
  });
  startPlaying(lab);
}

function pause(lab) {
  if (!lab.playing) return;
  lab.state.t = rounded(lab.state.t);
  changed(lab, false);
  stopPlaying(lab);
}

/** Advances the time while playing: the whole path takes six seconds at speed 1. */
function advance(lab, now) {
  const seconds = secondsPlayed(lab, now);
  const t = clamp(lab.state.t + lab.direction * lab.state.speed * seconds / 6, 0, 1);
  change(lab, "time", (state) => { state.t = t; });
  if (t !== (lab.direction > 0 ? 1 : 0)) return;
  if (lab.loop) lab.direction = -lab.direction;
  else pause(lab);
}

/** The band that is lit up: pointed at, or pinned by a click or the keyboard. */
function setBand(lab, band, pin) {
  if (pin) lab.pinned = band;
  if (lab.pointed === band && !pin) return;
  lab.pointed = band;
  repaint(lab);
}

function litBand(lab) {
  const band = lab.pointed === null ? lab.pinned : lab.pointed;
  return band === null ? null : Math.min(band, lab.message.sides[lab.active].bands - 1);
}
