// The opening film: the images go to noise and back until the first touch. It is no change of the
// state: nothing is reported to Python, and there is nothing to undo.

const FILM_SECONDS = 9; // there and back
const FILM_DELAY = 500; // ms, in which the exact picture is seen at rest
const FILM_ROUNDS = 5;
const FILM_SPAN = [0.04, 0.86];

function startFilm(lab) {
  lab.opening = false;
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const [low, high] = FILM_SPAN;
  const phase = Math.acos(1 - 2 * clamp((lab.state.t - low) / (high - low), 0, 1));
  lab.film = { at: performance.now() + FILM_DELAY, phase, home: lab.state.t };
  repaint(lab);
}

function showFilm(lab, now) {
  const { at, phase, home } = lab.film;
  if (now < at) return;
  const rounds = (now - at) / 1000 / FILM_SECONDS;
  lab.exact = null;
  if (rounds < FILM_ROUNDS) {
    const [low, high] = FILM_SPAN;
    lab.state.t = low + (high - low) * (1 - Math.cos(phase + 2 * Math.PI * rounds)) / 2;
  } else endFilm(lab, home);
}

function endFilm(lab, t) {
  if (!lab.film) return;
  lab.film = null;
  lab.state.t = rounded(t);
  changed(lab, false);
}

/** Any press of a pointer or a key stops the film where it is, and does what it does. */
function wireFilm(lab) {
  on(lab, document, "pointerdown keydown", () => {
    lab.stopped = Boolean(lab.film);
    lab.opening = false;
    endFilm(lab, lab.state.t);
  }, { capture: true });
}

/** Plays or pauses; the press that stopped the film has paused already. */
function playOrPause(lab) {
  if (lab.playing) pause(lab);
  else if (!lab.stopped) play(lab);
  lab.stopped = false;
}
