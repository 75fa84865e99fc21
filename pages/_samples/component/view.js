// The pictures: which frame is shown, painting, the way from noise to samples, one sample enlarged.

const PLAY_SECONDS = 4;
const DRAWS_KEPT = 600;
const TWO_COLUMNS = 640; // pixels of the component, as in reverse.css
const LOW_WINDOW = 860;
const BESIDE_PICTURES = 390; // pixels of the window that are for all else

/** The frame at the scrubber's place, of those that have come. */
function frameShown(lab) {
  const { draw } = lab;
  if (!draw || !draw.frames.length) return null;
  const wanted = placeShown(lab) * draw.steps;
  return draw.frames.reduce((best, frame) =>
    (Math.abs(frame.step - wanted) <= Math.abs(best.step - wanted) ? frame : best));
}

/** The time at which the curve's editor has its mark. */
function timeNow(lab) {
  const frame = frameShown(lab);
  return frame ? frame.time : 1 - placeShown(lab);
}

/** What is said of stored samples, which are of all classes, whichever is chosen. */
function storedWords(lab) {
  return `Stored samples of this model${lab.message.classes.length ? ", of all classes" : ""}.`;
}

/** Shows a new model's stored samples until others are drawn, or lets go of the last ones. */
function showStored(lab, stored) {
  if (!stored) {
    if (lab.draw && lab.draw.stored) lab.draw = null;
    return;
  }
  const n = Math.min(stored.shape[0], lab.state.n);
  const values = stored.values.subarray(0, n * lab.message.images.size);
  const { steps } = lab.state;
  lab.draw = { stored: true, seq: -1, steps, whole: false, done: true, painted: true,
    frames: [{ step: steps, time: 0, n, x: values, denoised: values, distribution: null }] };
}

function wireView(lab) {
  const { el } = lab;
  for (const canvas of [el.canvasX, el.canvasD]) {
    on(lab, canvas, "click", (event) => {
      const box = canvas.getBoundingClientRect();
      const { sheet } = lab;
      const column = Math.floor((event.clientX - box.left) / box.width * sheet.width / sheet.cellWidth);
      const row = Math.floor((event.clientY - box.top) / box.height * sheet.height / sheet.cellHeight);
      const sample = row * sheet.columns + column;
      const frame = frameShown(lab);
      if (!frame || sample >= frame.n) return;
      choose(lab, sample);
      el.large.showModal();
    });
  }
  on(lab, el.closeLarge, "click", () => el.large.close());
  on(lab, el.large, "click", (event) => { if (event.target === el.large) el.large.close(); });
  on(lab, el.previous, "click", () => choose(lab, lab.state.chosen - 1));
  on(lab, el.next, "click", () => choose(lab, lab.state.chosen + 1));
  on(lab, el.play, "click", () => (lab.playing ? pause(lab) : play(lab)));
  on(lab, el.back, "click", () => stepOn(lab, -1));
  on(lab, el.forward, "click", () => stepOn(lab, 1));
  on(lab, el.scrub, "input", () => goTo(lab, Number(el.scrub.value)));
  on(lab, el.scrub, "change", () => endGesture(lab));
  on(lab, el.cancel, "click", () => stopDrawing(lab));
  on(lab, el.again, "click", () => ask(lab));
  on(lab, el.png, "click", () => savePng(lab));
}

function choose(lab, sample) {
  const frame = frameShown(lab);
  const n = frame ? frame.n : lab.state.n;
  changeOnce(lab, "choose", (state) => { state.chosen = (sample + n) % n; });
}

function goTo(lab, at) {
  pause(lab);
  change(lab, "time", (state) => { state.at = clamp(rounded(at), 0, 1); });
}

function stepOn(lab, steps) {
  const size = 1 / (lab.draw ? lab.draw.steps : lab.state.steps);
  goTo(lab, (Math.round(lab.state.at / size) + steps) * size);
  endGesture(lab);
}

function play(lab) {
  change(lab, "time", (state) => { if (state.at >= 1) state.at = 0; });
  startPlaying(lab);
}

function pause(lab) {
  if (lab.playing) stopPlaying(lab);
}

function advance(lab, now) {
  const at = rounded(Math.min(1, lab.state.at + secondsPlayed(lab, now) / PLAY_SECONDS));
  change(lab, "time", (state) => { state.at = at; });
  if (at >= 1) pause(lab);
}

/** Columns, zoom and places of a sheet for n pictures. */
function layOut(lab, n) {
  const { images } = lab.message;
  if (lab.sheet && lab.sheet.n === n && lab.sheet.of === images) return;
  lab.sheet = { ...sheetOf({ ...images, n }, images.width < 12 ? 3 : 1), n, of: images };
  sizeStage(lab);
}

/** The height that pictures may have, so that what is below them stays in the window. */
function pictureHeight() {
  return clamp(window.innerHeight - BESIDE_PICTURES, 180, 620);
}

function sizeStage(lab) {
  const { el, sheet } = lab;
  if (!lab.root.clientWidth) return;
  const wide = lab.root.clientWidth >= TWO_COLUMNS;
  const low = wide && window.innerHeight < LOW_WINDOW;
  lab.heights = { ...(low ? LOW_HEIGHTS : PLOT_HEIGHTS) };
  lab.curveHeight = low ? 158 : 230;
  const column = Math.floor(lab.root.clientWidth * 0.57);
  el.columns.style.setProperty("--picture", `${column}px`);
  lab.widths.spectrum = el.spectrum.parentElement.clientWidth;
  if (!sheet) return;
  const room = ((wide ? column : lab.root.clientWidth) - 12) / 2;
  const fit = Math.min(room / sheet.width, pictureHeight() / sheet.height);
  const scale = sheet.zoom < 4 ? snapScale(fit) : fit; // where a pixel is large, it may be uneven
  for (const part of [el.sheetX, el.sheetD]) {
    part.style.width = `${sheet.width * scale}px`;
    part.style.aspectRatio = `${sheet.width} / ${sheet.height}`;
  }
}

function showView(lab) {
  const { el, state } = lab;
  const frame = frameShown(lab);
  if (frame) {
    layOut(lab, lab.draw.whole === false ? Math.max(frame.n, Math.min(state.n, lab.message.most)) : frame.n);
    showSheets(lab, frame);
  } else layOut(lab, Math.min(state.n, lab.message.most));
  for (const ring of [el.chosenX, el.chosenD]) toggle(ring, Boolean(frame && frame.n > 1));
  showStatus(lab, frame);
  const at = placeShown(lab);
  if (Math.abs(el.scrub.value - at) > 6e-4) el.scrub.value = at;
  const place = frame && !lab.draw.stored ? `step ${frame.step} · t = ${frame.time.toFixed(3)}` : "";
  setText(el.place, place);
  setAttributes(el.scrub, { "aria-valuetext": place });
  showPlayButton(el, lab.playing);
  if (el.large.open && frame) showLarge(lab, frame);
}

function showSheets(lab, frame) {
  const { el, sheet, message, state } = lab;
  const all = { images: { ...message.images, n: frame.n }, colors: message.colors };
  const names = [[el.canvasX, frame.x, "current state"],
    [el.canvasD, frame.denoised, "estimate of the clean samples"]];
  for (const [canvas, values, name] of names) {
    if (canvas.values !== values) {
      paintSheet(canvas, all, sheet, [{ exact: values, from: 0, to: sheet.width }]);
      veilRest(canvas, sheet, frame.n);
      canvas.values = values;
      setAttributes(canvas, { "data-seq": lab.draw.seq, "data-step": frame.step,
        "aria-label": `${frame.n} pictures at time ${frame.time.toFixed(2)}: ${name}` });
    }
  }
  if (lab.opening && lab.draw.done && lab.draw.whole !== false) startFilm(lab);
  if (lab.draw.done && !lab.draw.painted) remember(lab, lab.draw);
  const chosen = Math.min(state.chosen, frame.n - 1);
  for (const ring of [el.chosenX, el.chosenD]) {
    Object.assign(ring.style, {
      left: `${100 * (chosen % sheet.columns) * sheet.cellWidth / sheet.width}%`,
      top: `${100 * Math.floor(chosen / sheet.columns) * sheet.cellHeight / sheet.height}%`,
      width: `${100 * (sheet.cellWidth - sheet.gap) / sheet.width}%`,
      height: `${100 * (sheet.cellHeight - sheet.gap) / sheet.height}%`,
    });
  }
}

/** Pales the pictures that a preview leaves as they were. */
function veilRest(canvas, sheet, from) {
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(canvas).getPropertyValue("--paper");
  context.globalAlpha = 0.6;
  for (let i = from; i < sheet.n; i += 1) {
    context.fillRect((i % sheet.columns) * sheet.cellWidth, Math.floor(i / sheet.columns) * sheet.cellHeight,
      sheet.cellWidth, sheet.cellHeight);
  }
  context.globalAlpha = 1;
}

/** Notes when a draw was wanted, asked for and painted, for those who measure. */
function remember(lab, draw) {
  draw.painted = performance.now();
  const draws = lab.root.rgdiffDraws;
  draws.push({ seq: draw.seq, input: draw.input, asked: draw.at, painted: draw.painted });
  if (draws.length > DRAWS_KEPT) draws.shift();
}

function showLarge(lab, frame) {
  const { el, message, state } = lab;
  const { size } = message.images;
  const chosen = Math.min(state.chosen, frame.n - 1);
  const part = (values) => Float32Array.from(values.subarray(chosen * size, (chosen + 1) * size),
    (value) => value - 127.5);
  paintField(el.largeX, message, part(frame.x), 1);
  paintField(el.largeD, message, part(frame.denoised), 1);
  setText(el.largeName, `sample ${chosen + 1} of ${frame.n}`);
}

function showStatus(lab, frame) {
  const { el, draw, state, message } = lab;
  const waiting = lab.asked || lab.wanted;
  const late = Boolean(lab.asked) && performance.now() - lab.asked.at >= PATIENCE_MS;
  const current = draw && draw.seq === lab.seq;
  let text = "";
  if (lab.refused) text = draw && draw.stored ? storedWords(lab) : "";
  else if (lab.stopped) text = `Cancelled${frame ? reached(lab) : "."}`;
  else if (late && lab.place) text = `Waiting: place ${lab.place} in the queue of long draws`;
  else if (late && lab.coming) {
    const { steps, left } = lab.coming;
    text = `step ${last(lab.coming).step} of ${steps}${timeLeft(left)}`;
    if (draw && draw.stored) text = `${storedWords(lab)} Yours: ${text}`;
  }
  else if (draw && draw.stored) text = `${storedWords(lab)} Yours are being drawn …`;
  else if (late || (!frame && waiting)) text = "Drawing …";
  else if (draw && draw.done) {
    const time = draw.seconds === undefined ? "" : ` in ${tidy(Number(draw.seconds.toFixed(2)))} s`;
    const { evaluations } = message.methods.find((each) => each.name === state.method);
    text = draw.whole
      ? `${frame.n} samples${time}, ${callsWords(draw.steps * evaluations, asksTwice(state))}`
      : previewWords(frame.n);
  }
  setText(el.status, text);
  setAttributes(el.status, { "data-late": late });
  const share = late && lab.coming ? last(lab.coming).step / lab.coming.steps : 0;
  setAttributes(el.progress, { value: share.toFixed(3), "data-idle": !late });
  setAttributes(el.stage, { "data-stale": Boolean(late && !current) });
  toggle(el.cancel, late);
  toggle(el.again, Boolean(lab.stopped));
  const alone = lab.live ? "" : ALONE;
  setText(el.problem, lab.refused || alone);
  toggle(el.problem, Boolean(lab.refused || alone));
  setAttributes(el.problem, { class: lab.refused ? "problem" : "problem mild" });
}

function previewWords(n) {
  return `Rough preview of the first ${n === 1 ? "sample" : `${n} samples`}; release to redraw all`;
}

/** How often the network is evaluated for a sample, by guidance twice in each place. */
function callsWords(calls, twice) {
  if (twice) return `2 × ${calls} evaluations each (guidance)`;
  return `${calls} evaluation${calls === 1 ? "" : "s"} each`;
}

function reached(lab) {
  const { draw } = lab;
  return draw.stored ? `. ${storedWords(lab)}` : ` at step ${last(draw).step} of ${draw.steps}.`;
}

function last(draw) {
  return draw.frames[draw.frames.length - 1];
}

function timeLeft(seconds) {
  if (!Number.isFinite(seconds) || seconds < 1) return "";
  return seconds < 90 ? ` · ${Math.round(seconds)} s left`
    : ` · about ${Math.round(seconds / 60)} min left`;
}

/** Saves both sheets side by side, enlarged by a whole number. */
function savePng(lab) {
  const { el, sheet, state } = lab;
  if (!sheet) return;
  const zoom = Math.max(1, Math.round(1024 / sheet.width));
  const gap = 8;
  const canvas = make("canvas", { width: (2 * sheet.width + gap) * zoom, height: sheet.height * zoom });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  [el.canvasX, el.canvasD].forEach((source, i) => context.drawImage(source,
    i * (sheet.width + gap) * zoom, 0, sheet.width * zoom, sheet.height * zoom));
  saveCanvas(canvas, `rgdiff-samples-seed${state.seed}-step${state.at.toFixed(3)}.png`);
}
