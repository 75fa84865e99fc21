// The component: one instance per mount, one animation frame that paints what changed.

const BENCHES = new WeakMap();

/** Asks for a frame; many changes before it make one. */
function repaint(lab) {
  if (!lab.request && !lab.gone) lab.request = requestAnimationFrame((now) => onFrame(lab, now));
}

function onFrame(lab, now) {
  lab.request = 0;
  if (!lab.message) return;
  try {
    if (lab.playing) advance(lab, now);
    const [side, own] = [lab.message.sides[0], lab.state.sides[0]];
    const t = timeNow(lab);
    lab.moments = [{ u: ordinateAt(side, own, t) }];
    showView(lab);
    showSchedule(lab);
    showSampler(lab);
    showEditor(lab);
    if (side.dataPower) showSpectrum(lab, side, own, { ...weightsAt(side, own, t), tint: tintAt(side, own, t) });
    showHistogram(lab);
  } catch (error) {
    lab.playing = false;
    showProblem(lab, error);
  }
  if (lab.playing || lab.film) repaint(lab);
}

/** One samples message, checked. */
function readBench(bytes) {
  const message = unpack(bytes);
  const { header } = message;
  if (header.kind !== "samples") throw new Error("The page expects a message with its state.");
  const images = { ...header.images };
  images.size = images.channels * images.height * images.width;
  const sides = header.sides.map((side) => {
    const bands = side.nodes.length;
    const alpha = takeShaped(message, "0/alpha", [null, null, bands]);
    const [parameters, ordinates] = alpha.shape;
    const get = (name, shape) => takeShaped(message, `0/${name}`, shape).values;
    return { ...side, bands, parameters, ordinates, alpha: alpha.values,
      sigma: get("sigma", alpha.shape),
      front: side.path ? get("front", [parameters, ordinates]) : null,
      cutoffs: side.path ? get("cutoff", [parameters, ordinates]) : null,
      ...(message.has("0/data_power") ? spectrumOf(message, side, bands) : {}) };
  });
  return { images, sides, colors: colorTable(message, images), most: images.n,
    revision: String(header.revision), live: header.live, opening: header.opening, history: header.history || {},
    quick: header.quick, pageState: header.page_state, state: header.state || {},
    magnetization: header.magnetization, continuous: header.continuous,
    colorNote: header.color_note, methods: header.methods, grids: header.grids,
    stepsMost: header.steps_max, count: header.images_in_set,
    classes: header.classes, guidanceMost: header.guidance_max,
    stored: message.has("stored") ? takeShaped(message, "stored", [null, images.channels, images.height, images.width]) : null,
    guides: header.guides, guidancePointsMost: header.guidance_points_max };
}

/** The tables of the spectrum's plot. */
function spectrumOf(message, side, bands) {
  const noise = takeShaped(message, "0/noise_power", [null, null, bands]);
  const [tints, moves] = noise.shape;
  const get = (name, shape) => takeShaped(message, `0/${name}`, shape).values;
  return { noise: [], moves, noisePower: noise.values, motion: get("motion", [moves]),
    dataPower: get("data_power", [bands]), share: side.curve ? get("share", [tints, bands]) : null };
}

function createBench(parent) {
  const el = {};
  parent.querySelectorAll("[data-ref]").forEach((part) => { el[part.dataset.ref] = part; });
  const ending = new AbortController();
  const lab = {
    el, root: el.root, ending: ending.signal, end: () => ending.abort(),
    message: null, state: null, seq: 0, past: [], future: [], gesture: null, lastGesture: null,
    playing: false, film: 0, opening: false, forked: false, active: 0, point: -1, handles: [], sliders: [],
    guidanceFrame: null, guidanceHandles: [], guidancePoint: -1, numbers: {}, zoomNumbers: [],
    draw: null, coming: null, asked: null, wanted: false, stopped: false, refused: "", tries: 0, took: 0,
    line: 0, changedAt: 0, askedAt: 0, place: 0,
    tones: [], tone: -1, widths: {}, heights: { ...PLOT_HEIGHTS }, backdrops: {},
    socket: null, live: true, deaf: false, unsaid: false, request: 0, gone: false,
  };
  lab.root.rgdiffDraws = [];
  wireSchedule(lab);
  wireEditor(lab);
  wireColor(lab);
  wireView(lab);
  wireSampler(lab);
  wireGuidance(lab);
  wireKeys(lab, KEY_SHEET, act);
  wireFilm(lab);
  on(lab, document, "rgdiff-settled", (event) => takeFrames(lab, event.detail, false));
  lab.watch = new ResizeObserver(guarded(lab, () => {
    sizeStage(lab);
    lab.frame = null;
    lab.guidanceFrame = null;
    lab.histogramWidth = 0;
    repaint(lab);
  }));
  lab.watch.observe(lab.root);
  return lab;
}

function destroyBench(lab) {
  lab.gone = true;
  cancelAnimationFrame(lab.request);
  for (const timer of [lab.restTimer, lab.askTimer, lab.lateTimer, lab.retry, lab.referenceTimer]) clearTimeout(timer);
  lab.watch.disconnect();
  lab.end();
  if (lab.socket) lab.socket.close();
}

function receive(lab, bytes) {
  try {
    if (bytes !== lab.bytes) {
      lab.bytes = bytes;
      lab.built = null;
      lab.histogramWidth = 0;
      adopt(lab, readBench(bytes));
      lab.film = 0;
      lab.opening = lab.message.opening;
      buildSampler(lab);
      lab.el.columns.hidden = false;
    }
    readTheme(lab);
    sizeStage(lab);
    repaint(lab);
    if (!lab.live && document.rgdiffSettled) takeFrames(lab, document.rgdiffSettled, false);
  } catch (error) {
    showProblem(lab, error);
  }
}

export default function mount(component) {
  const { parentElement, data, setStateValue } = component;
  let lab = BENCHES.get(parentElement);
  if (!lab || !lab.root.isConnected) {
    if (lab) destroyBench(lab);
    lab = createBench(parentElement);
    BENCHES.set(parentElement, lab);
  }
  lab.setStateValue = setStateValue;
  receive(lab, data);
  return () => {
    destroyBench(lab);
    BENCHES.delete(parentElement);
  };
}
