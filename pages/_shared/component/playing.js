// What every component's state has: a part for each side, and time that plays.

const FRAME_SECONDS = 0.1; // the most that one frame adds: a tab may have been hidden

/** A usable part of a state for a side, from whatever came. */
function soundSide(side, given) {
  const own = given || {};
  const within = (parameter, value) => {
    if (!parameter) return null;
    const [low, high] = [parameter.grid[0], parameter.grid[parameter.grid.length - 1]];
    return Number.isFinite(value) ? clamp(value, low, high) : low;
  };
  return {
    points: arePoints(own.points) ? own.points : [[0, 1], [1, 0]],
    shape: within(side.shape, own.shape),
    tint: within(side.tint, own.tint),
    curve: side.curve ? soundCurve(own.curve, side.curve.points) : null,
    keep: own.keep !== false,
  };
}

/** Copies of the sides' parts; their lists are never changed in place. */
function copySides(state) {
  return state.sides.map((own) => ({ ...own }));
}

function startPlaying(lab) {
  lab.playing = true;
  lab.playedAt = performance.now();
  repaint(lab);
}

function stopPlaying(lab) {
  lab.playing = false;
  endGesture(lab);
  repaint(lab);
}

/** The seconds since the frame before. */
function secondsPlayed(lab, now) {
  const seconds = clamp((now - lab.playedAt) / 1000, 0, FRAME_SECONDS);
  lab.playedAt = now;
  return seconds;
}

/** Shows on the button what a press does. */
function showPlayButton(el, playing) {
  setAttributes(el.play, { "aria-label": playing ? "Pause" : "Play" });
  setAttributes(el.playIcon, { d: playing ? "M6 4h3v12H6zm5 0h3v12h-3z" : "m6 4 10 6-10 6z" });
}
