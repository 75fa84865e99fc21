// The lab: one instance per mounted component, one animation frame that paints what changed.

const LABS = new WeakMap();
const FRAMES_KEPT = 600;
const TWO_COLUMNS = 640;
const LOW_WINDOW = 950;
const LAYERS_MS = 5000;

/** Asks for a frame; many changes before it make one. */
function repaint(lab) {
  if (!lab.request && !lab.gone) lab.request = requestAnimationFrame((now) => onFrame(lab, now));
}

function onFrame(lab, now) {
  lab.request = 0;
  const began = performance.now();
  try {
    if (lab.playing) advance(lab, now);
    if (lab.film) showFilm(lab, now);
    lab.moments = lab.message.sides.map((side, i) =>
      momentOf(lab.message, side, lab.state.sides[i], lab.state.t));
    setAttributes(lab.root, { "data-active": lab.active ? "b" : "a" });
    showPicture(lab);
    showControls(lab);
    showEditor(lab);
    showPlots(lab);
    showChosen(lab);
    showInset(lab);
  } catch (error) {
    lab.playing = false;
    showProblem(lab, error);
  }
  const frames = lab.root.rgdiffFrames;
  frames.push({ at: now, cost: performance.now() - began });
  if (frames.length > FRAMES_KEPT) frames.shift();
  if (lab.playing || lab.film) repaint(lab);
}

function createLab(parent) {
  const el = {};
  parent.querySelectorAll("[data-ref]").forEach((part) => { el[part.dataset.ref] = part; });
  const ending = new AbortController();
  const lab = {
    el, root: el.root, ending: ending.signal, end: () => ending.abort(),
    message: null, state: null, seq: 0, sentSeq: 0, past: [], future: [],
    exact: null, blend: null, blendNote: "", flight: null, gesture: null, lastGesture: null,
    awaiting: false, playing: false, direction: 1, active: 0, image: 0, point: -1,
    pointed: null, pinned: null, handles: [], tones: [], tone: -1, sliders: [], widths: {},
    heights: { ...PLOT_HEIGHTS }, film: null, backdrops: {}, request: 0, gone: false,
    opening: false, forked: false, stopped: false, presenting: false, opened: false, loop: false,
  };
  lab.root.rgdiffFrames = [];
  wireControls(lab);
  wireSchedule(lab);
  wireEditor(lab);
  wireStage(lab);
  wireColor(lab);
  wirePlots(lab);
  wireKeys(lab, KEY_SHEET, act);
  wireFilm(lab);
  wirePresent(lab);
  on(lab, document, "rgdiff-settled", (event) => settle(lab, event.detail));
  on(lab, document, "rgdiff-layers", () => { if (lab.awaiting) receive(lab, lab.bytes); });
  on(lab, document, "fullscreenchange", () => sizeAll(lab));
  lab.watch = new ResizeObserver(guarded(lab, () => sizeAll(lab)));
  lab.watch.observe(lab.root);
  return lab;
}

/** Reads all sizes in one go, so that a frame itself never asks for layout. */
function sizeAll(lab) {
  if (!lab.message || !lab.root.clientWidth) return;
  const two = lab.root.clientWidth >= TWO_COLUMNS;
  const low = two && !lab.presenting && window.innerHeight < LOW_WINDOW;
  lab.heights = { ...(low ? LOW_HEIGHTS : PLOT_HEIGHTS) };
  lab.curveHeight = low ? 158 : 230;
  if (lab.presenting && two) lab.curveHeight = clamp(window.innerHeight - 320, 230, 620);
  setAttributes(lab.root, { "data-low": low });
  sizeStage(lab);
  for (const name of ["heat", "spectrum", "bits"]) {
    lab.widths[name] = lab.el[name].parentElement.clientWidth;
  }
  lab.frame = null;
  repaint(lab);
}

function destroyLab(lab) {
  lab.gone = true;
  cancelAnimationFrame(lab.request);
  for (const timer of [lab.restTimer, lab.layersTimer]) clearTimeout(timer);
  lab.watch.disconnect();
  lab.end();
}

/** Waits for images that are still on their way, and says so where that takes long. */
function awaitLayers(lab) {
  lab.awaiting = true;
  clearTimeout(lab.layersTimer);
  lab.layersTimer = setTimeout(() => {
    if (!lab.awaiting) return;
    showProblem(lab, "The images of this choice have not come yet: wait, or choose another.");
  }, LAYERS_MS);
}

/**
 * Takes a bands message; where its images are still on their way, keeps the last picture until
 * they come.
 */
function receive(lab, bytes) {
  try {
    if (bytes !== lab.bytes || lab.awaiting) {
      lab.bytes = bytes;
      lab.awaiting = false;
      adopt(lab, readBands(bytes));
      buildControls(lab);
      lab.el.problem.hidden = true;
      lab.el.columns.hidden = false;
    }
    if (lab.message) {
      readTheme(lab);
      sizeAll(lab);
      openPresent(lab);
    }
  } catch (error) {
    if (error instanceof LayersAwaited) awaitLayers(lab);
    else showProblem(lab, error);
  }
}

export default function mount(component) {
  const { parentElement, data, setStateValue } = component;
  let lab = LABS.get(parentElement);
  if (!lab || !lab.root.isConnected) {
    if (lab) destroyLab(lab);
    lab = createLab(parentElement);
    LABS.set(parentElement, lab);
  }
  lab.setStateValue = setStateValue;
  receive(lab, data);
  return () => {
    destroyLab(lab);
    LABS.delete(parentElement);
  };
}
