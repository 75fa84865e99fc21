// What the lab's keys do, and the sheet that lists them.

const KEY_SHEET = [
  ["Space", "play or pause"], ["← →", "one step in time (Shift: ten)"], ["Home End", "t = 0, t = 1"],
  ["[ ]", "slower, faster"], ["↑ ↓", "highlight a finer or coarser scale"],
  [", .", "choose the previous or next image"], ["1 … 5", "A, B, side by side, wipe, blend"],
  ["R", "reset the cutoff"], ["Ctrl+Z", "undo"], ["Ctrl+Shift+Z", "redo"], ["?", "this sheet"],
  ["P", "presenter's view"], ["Esc", "clear the highlight, leave the presenter's view"],
  ["on a point", "of the cutoff or of the noise: arrows move it (Shift: finer), Delete removes it"],
];

/** Does what a key stands for; false if it stands for nothing. */
function act(lab, event) {
  const { key } = event;
  const far = event.shiftKey ? 10 : 1;
  const acts = {
    " ": () => playOrPause(lab),
    ArrowLeft: () => stepTime(lab, -far),
    ArrowRight: () => stepTime(lab, far),
    ArrowUp: () => stepBand(lab, 1),
    ArrowDown: () => stepBand(lab, -1),
    Home: () => stepTime(lab, -1 / TIME_STEP),
    End: () => stepTime(lab, 1 / TIME_STEP),
    "[": () => changeSpeed(lab, -1),
    "]": () => changeSpeed(lab, 1),
    ",": () => chooseImage(lab, lab.image - 1),
    ".": () => chooseImage(lab, lab.image + 1),
    r: () => resetCurve(lab),
    R: () => resetCurve(lab),
    "?": () => lab.el.keys.showModal(),
    p: () => present(lab, !lab.presenting),
    P: () => present(lab, !lab.presenting),
    Escape: () => (lab.presenting ? present(lab, false) : setBand(lab, null, true)),
  };
  if (/^[1-5]$/.test(key)) setView(lab, VIEWS[Number(key) - 1]);
  else if (acts[key]) acts[key]();
  else return false;
  return true;
}

function stepBand(lab, steps) {
  const band = litBand(lab);
  const { bands } = lab.message.sides[lab.active];
  setBand(lab, band === null ? (steps > 0 ? 0 : bands - 1) : clamp(band + steps, 0, bands - 1), true);
}

function chooseImage(lab, image) {
  const { n } = lab.message.images;
  lab.image = (image + n) % n;
  repaint(lab);
}
