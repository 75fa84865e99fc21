// The opening film: noise becomes the first samples, until the first touch. It is no change of the
// state: only the place that is shown moves.

const FILM_SECONDS = 5;
const FILM_REST = 0.12; // share of the film in which noise and samples are seen at rest, each

/** Begins when the first samples are all there. */
function startFilm(lab) {
  lab.opening = false;
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  lab.film = performance.now();
}

/** The place on the way from noise (0) to samples (1) that is shown. */
function placeShown(lab) {
  if (!lab.film) return lab.state.at;
  const share = (performance.now() - lab.film) / 1000 / FILM_SECONDS;
  if (share >= 1) lab.film = 0;
  return lab.film ? clamp((share - FILM_REST) / (1 - 2 * FILM_REST), 0, 1) : lab.state.at;
}

/** Any press of a pointer or a key ends the film. */
function wireFilm(lab) {
  on(lab, document, "pointerdown keydown", () => {
    lab.opening = false;
    lab.film = 0;
    repaint(lab);
  }, { capture: true });
}
