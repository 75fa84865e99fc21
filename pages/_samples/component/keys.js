// The keyboard, and the sheet that lists it.

const KEY_SHEET = [
  ["Space", "play or pause"], ["← →", "one step on the way (Shift: ten)"],
  ["Home End", "noise, samples"], [", .", "previous or next sample"], ["Enter", "enlarge it"],
  ["N", "a new seed"], ["R", "reset the curve"], ["Ctrl+Z", "undo"], ["Ctrl+Shift+Z", "redo"],
  ["Esc", "stop drawing"], ["?", "this sheet"],
  ["on a point", "arrows move it (Shift: finer), Delete removes it"],
];

function wireKeys(lab) {
  const { el, root } = lab;
  el.keyList.replaceChildren(...KEY_SHEET.flatMap(([keys, meaning]) =>
    [make("dt", {}, keys), make("dd", {}, meaning)]));
  on(lab, el.help, "click", () => el.keys.showModal());
  on(lab, root, "keydown", (event) => {
    // Streamlit has its own keys on the document (R runs the page again).
    event.stopPropagation();
    if (!lab.message || event.defaultPrevented || el.keys.open) return;
    if (isTaken(event)) return;
    if (event.ctrlKey || event.metaKey) return void undoKey(lab, event);
    if (act(lab, event)) event.preventDefault();
  });
  on(lab, root, "keyup", (event) => {
    event.stopPropagation();
    if (lab.gesture && lab.gesture.startsWith("key-")) endGesture(lab);
  });
}

/** Does what a key stands for; false if it stands for nothing. */
function act(lab, event) {
  const far = event.shiftKey ? 10 : 1;
  const acts = {
    " ": () => (lab.playing ? pause(lab) : play(lab)),
    ArrowLeft: () => stepOn(lab, -far),
    ArrowRight: () => stepOn(lab, far),
    Home: () => stepOn(lab, -1e4),
    End: () => stepOn(lab, 1e4),
    ",": () => choose(lab, lab.state.chosen - 1),
    ".": () => choose(lab, lab.state.chosen + 1),
    Enter: () => lab.el.large.open || lab.el.large.showModal(),
    n: () => newSeed(lab),
    r: () => resetCurve(lab),
    "?": () => lab.el.keys.showModal(),
  };
  const done = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (event.key === "Escape" && !lab.el.large.open) stopDrawing(lab);
  else if (done) done();
  else return false;
  return true;
}
