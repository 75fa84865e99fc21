// The pictures: which sources the painter gets, the wipe, the chosen image and one scale alone.

function wireStage(lab) {
  const { el } = lab;
  const choose = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const { sheet } = lab;
    const column = Math.floor((event.clientX - box.left) / box.width * sheet.width / sheet.cellWidth);
    const row = Math.floor((event.clientY - box.top) / box.height * sheet.height / sheet.cellHeight);
    const image = row * sheet.columns + column;
    if (image < lab.message.images.n) chooseImage(lab, image);
  };
  on(lab, el.canvasA, "click", choose);
  on(lab, el.canvasB, "click", choose);
  const drag = (event) => {
    const box = el.canvasA.getBoundingClientRect();
    change(lab, "wipe", (state) => {
      state.wipe = rounded(clamp((event.clientX - box.left) / box.width, 0, 1));
    });
  };
  dragOn(lab, el.wipe, drag, drag);
  on(lab, el.wipe, "keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (!step) return;
    change(lab, "key-wipe", (state) => { state.wipe = rounded(clamp(state.wipe + step, 0, 1)); });
    event.preventDefault();
  });
}

/** What side i paints: its exact picture if it is in, else its bands. */
function sourceOf(lab, i, from, to) {
  const exact = lab.exact && lab.exact.sides[i];
  if (exact) return { exact, from, to };
  const layers = layersOf(lab.message, lab.message.sides[i], lab.moments[i]);
  return { layers, from, to };
}

function sheetSources(lab) {
  const { state, sheet, message } = lab;
  const all = [0, sheet.width];
  if (state.view === "b") return [sourceOf(lab, 1, ...all)];
  if (state.view === "wipe") {
    const cut = Math.round(state.wipe * sheet.width);
    return [sourceOf(lab, 0, 0, cut), sourceOf(lab, 1, cut, sheet.width)];
  }
  if (state.view === "blend" && !lab.blendNote) {
    if (lab.exact && lab.exact.blend) return [{ exact: lab.exact.blend, from: 0, to: sheet.width }];
    if (lab.blend) {
      return [{ layers: blendLayers(message, lab.blend, state), from: 0, to: sheet.width }];
    }
  }
  return [sourceOf(lab, 0, ...all)];
}

function showPicture(lab) {
  const { el, state, sheet, message } = lab;
  const both = state.view === "side";
  if (el.figureB.hidden === both) {
    el.figureB.hidden = !both;
    sizeStage(lab);
  }
  const exact = [showSheet(lab, el.canvasA, () => sheetSources(lab))];
  if (both) exact.push(showSheet(lab, el.canvasB, () => [sourceOf(lab, 1, 0, sheet.width)]));
  setAttributes(el.root, { "data-view": state.view });
  const allExact = exact.every(Boolean);
  setText(el.source, allExact ? "exact" : "preview");
  el.source.title = allExact ? "Computed by the server for exactly this state."
    : "Painted in the browser from scale bands; the exact picture follows when you stop dragging.";
  if (state.view !== "wipe") keepFocus(lab, el.wipe);
  toggle(el.wipe, state.view === "wipe");
  el.wipe.style.left = `${100 * state.wipe}%`;
  setAttributes(el.wipe, { "aria-valuenow": Math.round(100 * state.wipe),
    "aria-valuetext": `${Math.round(100 * state.wipe)} % shows A` });
  const names = { a: "side A", b: "side B", side: "side A", wipe: "A left, B right",
    blend: "the blend of A and B" };
  setAttributes(el.canvasA, { "aria-label": `${message.images.n} ${pictureName(lab)}s at time `
    + `${state.t.toFixed(2)}, ${names[state.view]}` });
  setAttributes(el.canvasB, { "aria-label": `The same ${pictureName(lab)}s, side B` });
}

/** Paints one sheet unless nothing that it shows has changed; true if it is exact. */
function showSheet(lab, canvas, sourcesOf) {
  const { state, message } = lab;
  const facts = [message, lab.exact, state.t, state.view];
  if (state.view === "wipe") facts.push(state.wipe);
  if (state.view === "blend") facts.push(state.blend, lab.blend, lab.blendNote);
  state.sides.forEach((own, i) => {
    const alone = { a: 0, b: 1, side: canvas === lab.el.canvasB ? 1 : 0 }[state.view];
    if (alone === undefined || alone === i) facts.push(own.points, own.shape, own.tint, own.curve, own.keep);
  });
  const same = canvas.facts && canvas.facts.length === facts.length
    && facts.every((fact, i) => fact === canvas.facts[i]);
  if (!same) {
    const sources = sourcesOf();
    paintSheet(canvas, message, lab.sheet, sources);
    canvas.facts = facts;
    canvas.dataset.source = sources.every((source) => source.exact) ? "exact" : "painted";
  }
  return canvas.dataset.source === "exact";
}

function sizeStage(lab) {
  const { el, sheet } = lab;
  const full = lab.root.getRootNode().fullscreenElement === el.picture;
  const width = el.columns.clientWidth || lab.root.clientWidth;
  const two = width >= TWO_COLUMNS;
  const alone = lab.presenting && two; // but for the curve
  const tall = alone ? Math.max(240, window.innerHeight - 170)
    : clamp(window.innerHeight - (two ? 326 : 300), 240, 640);
  const share = alone ? 0.64 : 0.54;
  const single = snapScale(Math.min(width * share / sheet.width, tall / sheet.height));
  const column = clamp(Math.ceil(sheet.width * single), Math.min(380, width * 0.46),
    width * (share + 0.02));
  el.columns.style.setProperty("--picture", `${column}px`);
  const room = full ? window.innerWidth - 32 : two ? column : width;
  const height = full ? window.innerHeight - 150 : tall;
  const one = lab.state.view === "side" ? (room - 12) / 2 : room;
  const scale = snapScale(Math.min(one / sheet.width, height / sheet.height));
  for (const part of [el.sheetA, el.sheetB]) {
    part.style.width = `${sheet.width * scale}px`;
    part.style.aspectRatio = `${sheet.width} / ${sheet.height}`;
  }
}

function showChosen(lab) {
  const { el, sheet, image, message } = lab;
  const across = (value) => `${100 * value / sheet.width}%`;
  const down = (value) => `${100 * value / sheet.height}%`;
  for (const ring of [el.chosenA, el.chosenB]) {
    ring.hidden = message.images.n < 2;
    Object.assign(ring.style, {
      left: across((image % sheet.columns) * sheet.cellWidth),
      top: down(Math.floor(image / sheet.columns) * sheet.cellHeight),
      width: across(sheet.cellWidth - sheet.gap), height: down(sheet.cellHeight - sheet.gap),
    });
  }
}

/**
 * One scale alone: a band and its neighbours, signal, noise and both, equally stretched. Without
 * a lit scale it is the one at which data and noise are closest to equal now.
 */
function showInset(lab) {
  const { el, message, image } = lab;
  const lit = litBand(lab);
  const side = message.sides[lab.active];
  const moment = lab.moments[lab.active];
  const band = lit === null ? nearestToFront(moment) : lit;
  const { size, low, high } = message.images;
  setAttributes(el.inset, { "data-lit": lit !== null });
  if (lit === null) keepFocus(lab, el.inset);
  toggle(el.letGo, lit !== null);
  const signal = new Float32Array(size);
  const noise = new Float32Array(size);
  const reach = side.axis.discrete ? 0 : 1;
  for (let b = Math.max(0, band - reach); b <= Math.min(side.bands - 1, band + reach); b++) {
    addOne(signal, size, image * size, side.data[b], moment.alpha[b]);
    for (let i = b; i < side.noise.length; i += side.bands) {
      addOne(noise, size, image * size, side.noise[i], moment.sigma[b] * moment.tint.amplitude[i]);
    }
  }
  const both = signal.map((value, i) => value + noise[i]);
  const factor = calmFactor((high - low) / 2 / Math.max(peak(signal), peak(noise), 1e-6));
  [signal, noise, both].forEach((field, i) => paintField(el[`tile${i}`], message, field, factor));
  const crossing = crossingTime(historyOf(message, side, lab.state.sides[lab.active]), band);
  setText(el.insetText, lit === null
    ? `Being erased now: ${scaleName(side, band)}. Point at a scale in any plot, or press ↑ ↓.`
    : `${scaleName(side, band)}: ${crossing === null ? "data and noise never change places."
      : `noise overtakes the data at t = ${crossing.toFixed(2)}.`}`);
  const count = Math.round(side.counts[band]);
  const name = pictureName(lab);
  setText(el.insetFacts, `${name[0].toUpperCase()}${name.slice(1)} ${image + 1}, `
    + `${count.toLocaleString("en")} component${count === 1 ? "" : "s"}, `
    + `data log-SNR ${signed(moment.logSnr[band])}, contrast ×${factor}.`);
}

/** What is noised: fields are painted in diverging colours. */
function pictureName(lab) {
  return lab.message.images.colormap === "diverging" ? "field" : "image";
}

function nearestToFront(moment) {
  let best = 0;
  moment.logSnr.forEach((value, b) => {
    if (Math.abs(value) < Math.abs(moment.logSnr[best])) best = b;
  });
  return best;
}

/** The largest of 1, 1.5, 2, 3, 5, 7, 10, ... below a factor, so that contrast does not flicker. */
function calmFactor(factor) {
  const steps = [1, 1.5, 2, 3, 5, 7];
  const decade = 10 ** Math.floor(Math.log10(Math.max(factor, 1e-3)));
  const best = steps.filter((step) => step * decade <= factor).pop() || 1;
  return Number((best * Math.min(decade, 1e4)).toPrecision(2));
}

function signed(value) {
  const size = Math.abs(value).toFixed(1);
  return size === "0.0" ? "0" : `${value < 0 ? "−" : "+"}${size}`;
}

/** Saves the sheets that are on the screen, enlarged by a whole number. */
function savePng(lab) {
  const { el, sheet, state } = lab;
  const both = state.view === "side";
  const zoom = Math.max(1, Math.round(1024 / sheet.width));
  const gap = both ? 8 : 0;
  const canvas = make("canvas", { width: (sheet.width * (both ? 2 : 1) + gap) * zoom,
    height: sheet.height * zoom });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  const draw = (source, x) =>
    context.drawImage(source, x * zoom, 0, sheet.width * zoom, sheet.height * zoom);
  draw(el.canvasA, 0);
  if (both) draw(el.canvasB, sheet.width + gap);
  saveCanvas(canvas, `rgdiff-${state.view}-t${state.t.toFixed(3)}.png`);
}
