// The picture: the density in the plane of both sites, flow lines, and the ring of the noise.

const DIAGONAL = Math.SQRT1_2;
const VISIBLE = 0.72; // of the grid's reach, along each site

/** α and σS of both modes at a time. */
function noiseAt(lab, t) {
  const side = lab.message.sides[0];
  const own = lab.state.sides[0];
  const { alpha, sigma } = weightsAt(side, own, t);
  const spread = lookUp(side.spread, 1, 2, gridPosition(side.tint, own.tint), 0);
  return { alpha, std: sigma.map((value, k) => value * spread[k]) };
}

function linesNow(lab) {
  const own = lab.state.sides[0];
  const memo = lab.flow;
  const same = memo && memo.points === own.points
    && memo.shape === own.shape && memo.tint === own.tint
    && memo.of === lab.message;
  if (same) return memo.lines;
  const weights = Array.from({ length: FLOW_STEPS + 1 }, (_, i) => noiseAt(lab, i / FLOW_STEPS));
  const lines = flowLines(lab.message.theory, lab.message.starts, weights);
  lab.flow = { ...own, of: lab.message, lines };
  return lines;
}

function rgb(lab, name) {
  const probe = lab.probe
    || (lab.probe = make("canvas", { width: 1, height: 1 }).getContext("2d"));
  probe.fillStyle = getComputedStyle(lab.root).getPropertyValue(name).trim();
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

function sizePicture(lab) {
  const canvas = lab.el.picture;
  const wide = lab.root.clientWidth >= 640;
  const column = Math.floor(wide ? lab.root.clientWidth * 0.52 : lab.root.clientWidth);
  const side = Math.max(220, Math.min(column, window.innerHeight - 260));
  lab.el.columns.style.setProperty("--picture", `${wide ? side : column}px`);
  const ratio = window.devicePixelRatio || 1;
  canvas.style.width = `${side}px`;
  canvas.style.height = `${side}px`;
  canvas.width = canvas.height = Math.round(side * ratio);
  lab.side = side;
  lab.colors = Object.fromEntries(["--data", "--side-a", "--side-b", "--muted", "--faint", "--ink"]
    .map((name) => [name, rgb(lab, name)]));
}

function showPicture(lab) {
  const { el, state, side, message: { theory } } = lab;
  const { alpha, std } = noiseAt(lab, state.t);
  const context = el.picture.getContext("2d");
  const ratio = el.picture.width / side;
  const middle = side / 2;
  const scale = middle / (VISIBLE * theory.reach);
  const color = (name, opacity = 1) => `rgba(${lab.colors[name].join(",")},${opacity})`;
  const place = ([a, b]) =>
    [middle + scale * (a + b) * DIAGONAL, middle - scale * (a - b) * DIAGONAL];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, side, side);
  paintDensity(lab, context, alpha, std, ratio, scale);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawAxes(context, side, color);
  drawLines(lab, context, place, color);
  context.strokeStyle = color("--side-b");
  context.lineWidth = 2;
  context.setLineDash([6, 4]);
  context.beginPath();
  context.ellipse(middle, middle, std[0] * scale, std[1] * scale, -Math.PI / 4, 0, 2 * Math.PI);
  context.stroke();
  context.setLineDash([]);
  const share = alpha.map((value, k) => {
    const signal = value * value * theory.variance[k];
    return signal / (signal + std[k] * std[k]);
  });
  [[el.signal0, el.share0], [el.signal1, el.share1]].forEach(([meter, text], k) => {
    meter.value = share[k];
    setText(text, `${Math.round(100 * share[k])} %`);
  });
  const [zero, pi] = share.map((each) => Math.round(100 * each));
  setAttributes(el.picture, { "data-t": state.t,
    "aria-label": `Density of two sites at time ${state.t.toFixed(2)}: `
      + `${zero} % of k = 0 and ${pi} % of k = π are signal` });
}

function paintDensity(lab, context, alpha, std, ratio, scale) {
  const { theory } = lab.message;
  const n = theory.axis.length;
  const values = noisedDensity(theory, alpha, std);
  lab.root.rgdiffDensity = values;
  const image = lab.image && lab.image.width === n ? lab.image : new ImageData(n, n);
  lab.image = image;
  const [red, green, blue] = lab.colors["--data"];
  for (let a = 0; a < n; a++) {
    for (let b = 0; b < n; b++) {
      const at = 4 * (b * n + a);
      image.data[at] = red;
      image.data[at + 1] = green;
      image.data[at + 2] = blue;
      image.data[at + 3] = 225 * Math.sqrt(values[a * n + b]);
    }
  }
  if (!lab.offscreen || lab.offscreen.width !== n) {
    lab.offscreen = make("canvas", { width: n, height: n });
  }
  lab.offscreen.getContext("2d").putImageData(image, 0, 0);
  const step = scale * DIAGONAL * (theory.axis[1] - theory.axis[0]);
  const from = scale * DIAGONAL * theory.axis[0] - step / 2;
  const middle = lab.side / 2;
  context.setTransform(ratio * step, -ratio * step, ratio * step, ratio * step,
    ratio * (middle + 2 * from), ratio * middle);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(lab.offscreen, 0, 0);
}

function drawAxes(context, side, color) {
  const middle = side / 2;
  const line = (x0, y0, x1, y1) => {
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  };
  context.lineWidth = 1;
  context.strokeStyle = color("--muted", 0.55);
  line(0, middle, side, middle);
  line(middle, 0, middle, side);
  context.setLineDash([2, 4]);
  line(0, side, side, 0);
  line(0, 0, side, side);
  context.setLineDash([]);
  context.fillStyle = color("--muted");
  context.font = "13px sans-serif";
  context.textAlign = "right";
  context.fillText("φ₁", side - 4, middle - 6);
  context.fillText("k = 0", side - 22, 16);
  context.fillText("k = π", side - 22, side - 8);
  context.textAlign = "left";
  context.fillText("φ₂", middle + 6, 14);
}

function drawLines(lab, context, place, color) {
  const at = lab.state.t * FLOW_STEPS;
  const i = Math.min(Math.floor(at), FLOW_STEPS - 1);
  context.lineWidth = 1.25;
  context.strokeStyle = color("--side-a", 0.55);
  context.fillStyle = color("--side-a");
  for (const line of linesNow(lab)) {
    context.beginPath();
    line.forEach((point, k) => context[k ? "lineTo" : "moveTo"](...place(point)));
    context.stroke();
    const [x, y] = place(line[i].map((value, k) => value + (at - i) * (line[i + 1][k] - value)));
    context.beginPath();
    context.arc(x, y, 3.5, 0, 2 * Math.PI);
    context.fill();
  }
}
