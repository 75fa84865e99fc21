// Changes of the state, by gestures, and the way back. What the server decided is undone there: it
// is asked once the history of the present revision is at an end.

const MAX_UNDO = 200;
const MAX_HISTORIES = 50;

/** Histories by revision, for when the server goes back to one. */
function histories() {
  if (!document.rgdiffHistories) document.rgdiffHistories = new Map();
  return document.rgdiffHistories;
}

/** What is kept of a component's own history until it is mounted again. */
function ownHistory(lab) {
  return { past: lab.past, future: lab.future, forked: lab.forked };
}

/** Leaves a revision for another, whose history goes on where the server travelled to it. */
function turnHistory(lab, before, message) {
  forgive(lab);
  const all = histories();
  const { resumes } = message.history;
  // a menu gives up what was undone before it
  if (before) all.set(before, { past: lab.past, future: resumes ? lab.future : [] });
  if (all.size > MAX_HISTORIES) all.delete(all.keys().next().value);
  Object.assign(lab, { past: [], future: [], gesture: null, lastGesture: null, forked: false },
    resumes ? all.get(resumes) : null);
}

function canUndo(lab) {
  const { earlier } = lab.message.history || {};
  return lab.past.length > 0 || Boolean(earlier);
}

function canRedo(lab) {
  const { later } = lab.message.history || {};
  return lab.future.length > 0 || Boolean(later && !lab.forked);
}

/** Asks the server for the state before (-1) or after (+1) all that the browser remembers. */
function askTravel(lab, step) {
  pause(lab);
  clearTimeout(lab.restTimer);
  lab.setStateValue("client_state", { ...report(lab), travel: step });
}

/**
 * One change of the state. Changes of one gesture (a drag, a held key) share its name and make
 * one entry in the history; so do scrubs of time that follow each other.
 */
function change(lab, gesture, mutate) {
  if (lab.gesture !== gesture) {
    const again = gesture === "time" && lab.lastGesture === "time";
    if (!again) lab.past.push(copyState(lab.state));
    if (lab.past.length > MAX_UNDO) lab.past.shift();
    lab.future = [];
    lab.forked = true;
    lab.gesture = gesture;
    lab.lastGesture = gesture;
  }
  forgive(lab);
  mutate(lab.state);
  changed(lab, gesture === "view" || gesture === "wipe");
}

function endGesture(lab) {
  lab.gesture = null;
  scheduleRest(lab);
}

/** A change that is complete at once: a button, a typed number. */
function changeOnce(lab, gesture, mutate) {
  change(lab, gesture, mutate);
  endGesture(lab);
}

function undo(lab) {
  if (lab.past.length) travel(lab, lab.past, lab.future);
  else if (canUndo(lab)) askTravel(lab, -1);
}

function redo(lab) {
  if (lab.future.length) travel(lab, lab.future, lab.past);
  else if (canRedo(lab)) askTravel(lab, 1);
}

function travel(lab, from, to) {
  forgive(lab);
  pause(lab);
  to.push(copyState(lab.state));
  lab.state = from.pop();
  lab.gesture = null;
  lab.lastGesture = null;
  restored(lab);
  changed(lab, false);
}

function undoKey(lab, event) {
  const key = event.key.toLowerCase();
  if (key === "z") (event.shiftKey ? redo : undo)(lab);
  else if (key === "y") redo(lab);
  else return;
  event.preventDefault();
}
