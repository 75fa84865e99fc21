// What the component's keys do, and the sheet that lists them.

const KEY_SHEET = [
  ["Space", "play or pause"], ["← →", "one step on the way (Shift: ten)"],
  ["Home End", "noise, samples"], [", .", "previous or next sample"], ["Enter", "on a picture: enlarge it"],
  ["N", "a new seed"], ["R", "reset the curve"], ["Ctrl+Z", "undo"], ["Ctrl+Shift+Z", "redo"],
  ["Esc", "stop drawing"], ["?", "this sheet"],
  ["on a point", "arrows move it (Shift: finer), Delete removes it"],
];

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
    n: () => newSeed(lab),
    r: () => resetCurve(lab),
    "?": () => lab.el.keys.showModal(),
  };
  const done = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const onPicture = event.composedPath()[0].matches(".sheet canvas");
  if (event.key === "Escape" && !lab.el.large.open) stopDrawing(lab);
  else if (event.key === "Enter" && onPicture) lab.el.large.showModal();
  else if (done) done();
  else return false;
  return true;
}
