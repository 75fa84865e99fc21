// Changes of the state, by gestures, and the way back.

const MAX_UNDO = 200;

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
    lab.gesture = gesture;
    lab.lastGesture = gesture;
  }
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
  travel(lab, lab.past, lab.future);
}

function redo(lab) {
  travel(lab, lab.future, lab.past);
}

function travel(lab, from, to) {
  if (!from.length) return;
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
