// The phase diagram with a star that is dragged. Each answer of the server is a frame of fields;
// the next one is asked for when it has come, as long as the star is held and a little longer.

const LIVES = new WeakMap();
const BOX = { left: 44, right: 590, top: 10, bottom: 340 };
const AFTER_MS = 1200; // that fields go on after the star was moved last
const LOST_MS = 3000;
const SVG = "http://www.w3.org/2000/svg";
const GAP = 2; // pixels between fields

const within = (value, low, high) => Math.min(high, Math.max(low, value));

const isElsewhere = (star, other) => star.some((value, i) => value !== other[i]);

const rests = (live) => live.pointer === null && !live.moved;

function place(live, [m2, lam]) {
  const { x, y } = live.header;
  return [BOX.left + ((m2 - x[0]) / (x[1] - x[0])) * (BOX.right - BOX.left),
    BOX.bottom - ((lam - y[0]) / (y[1] - y[0])) * (BOX.bottom - BOX.top)];
}

function couplingsAt(live, event) {
  const { x, y } = live.header;
  const at = new DOMPoint(event.clientX, event.clientY)
    .matrixTransform(live.el.map.getScreenCTM().inverse());
  const m2 = x[0] + ((at.x - BOX.left) / (BOX.right - BOX.left)) * (x[1] - x[0]);
  const lam = y[0] + ((BOX.bottom - at.y) / (BOX.bottom - BOX.top)) * (y[1] - y[0]);
  return move(live, m2, lam);
}

function move(live, m2, lam) {
  const { x, y } = live.header;
  const round = (value) => Math.round(value * 1000) / 1000;
  live.star = [round(within(m2, ...x)), round(within(lam, ...y))];
  live.until = performance.now() + AFTER_MS;
  drawStar(live);
  ask(live);
}

function ask(live) {
  const now = performance.now();
  if (live.waiting && now - live.waiting < LOST_MS) return;
  const held = live.pointer !== null || now < live.until;
  if (!held && !live.moved) return;
  if (!held) {
    live.moved = false;
    live.settled = live.star;
  }
  live.waiting = now;
  live.seq += 1;
  live.setStateValue("client_state",
    { m2: live.star[0], lam: live.star[1], seq: live.seq, settled: !held });
}

function drawStar(live) {
  const [x, y] = place(live, live.star);
  live.el.star.setAttribute("transform", `translate(${x} ${y})`);
}

function shape(parent, kind, attributes, text) {
  const made = document.createElementNS(SVG, kind);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  if (text !== undefined) made.textContent = text;
  parent.append(made);
}

function drawMap(live) {
  const { el, header } = live;
  el.axes.replaceChildren();
  el.known.replaceChildren();
  const corner = { x: BOX.left, y: BOX.top, width: BOX.right - BOX.left, height: BOX.bottom - BOX.top };
  Object.entries(corner).forEach(([name, value]) => el.plane.setAttribute(name, value));
  for (let m2 = header.x[0]; m2 <= header.x[1]; m2 += 2) {
    const [x] = place(live, [m2, 0]);
    shape(el.axes, "line", { class: "tick", x1: x, x2: x, y1: BOX.top, y2: BOX.bottom });
    shape(el.axes, "text", { x, y: BOX.bottom + 18, "text-anchor": "middle" }, String(m2).replace("-", "−"));
  }
  for (let lam = 0; lam <= header.y[1]; lam += 2) {
    const [, y] = place(live, [0, lam]);
    shape(el.axes, "line", { class: "tick", x1: BOX.left, x2: BOX.right, y1: y, y2: y });
    shape(el.axes, "text", { x: BOX.left - 8, y: y + 4, "text-anchor": "end" }, String(lam));
  }
  shape(el.axes, "text", { x: BOX.right, y: BOX.bottom + 34, "text-anchor": "end" }, "m²");
  shape(el.axes, "text", { x: 6, y: BOX.top + 12 }, "λ");
  const steps = header.line.map((point) => place(live, point).map((v) => v.toFixed(1)).join(" "));
  el.line.setAttribute("d", `M${steps.join("L")}`);
  el.line.setAttribute("stroke", header.colors.line);
  el.star.setAttribute("fill", header.colors.star);
  header.known.forEach((point) => {
    const [cx, cy] = place(live, point);
    shape(el.known, "circle", { cx, cy, r: 4, fill: header.colors.known });
  });
}

function paint(live, fields) {
  const [n, height, width] = fields.shape;
  const across = Math.ceil(n / 2);
  const canvas = live.el.fields;
  canvas.width = across * (width + GAP) - GAP;
  canvas.height = 2 * (height + GAP) - GAP;
  const context = canvas.getContext("2d");
  for (let i = 0; i < n; i++) {
    const image = context.createImageData(width, height);
    for (let p = 0; p < height * width; p++) {
      for (let c = 0; c < 3; c++) image.data[4 * p + c] = fields.values[3 * (i * height * width + p) + c];
      image.data[4 * p + 3] = 255;
    }
    context.putImageData(image, (i % across) * (width + GAP), Math.floor(i / across) * (height + GAP));
  }
}

// A live region is read out whenever its text is set, even to the same one.
function say(part, text) {
  part.hidden = !text;
  if (part.textContent !== text) part.textContent = text;
}

function adopt(live, bytes) {
  const message = unpack(bytes);
  const { header } = message;
  const first = !live.header || header.revision !== live.header.revision;
  // A theory that is neither the last one nor the star's own was chosen elsewhere on the page.
  if (live.pointer === null && live.header && isElsewhere(header.star, live.header.star)
    && isElsewhere(header.star, live.settled)) live.moved = false;
  live.header = header;
  if (first) {
    if (rests(live)) live.star = header.star;
    live.seq = Math.max(live.seq, header.seq);
    drawMap(live);
  }
  drawStar(live);
  paint(live, takeShaped(message, "fields", [null, null, null, 3]));
  live.el.told.setAttribute("aria-live", rests(live) ? "polite" : "off");
  say(live.el.told, header.told);
  say(live.el.problem, header.problem);
  live.frames += 1;
  live.root.rgdiffFrames = live.frames;
  if (header.seq < live.seq && live.waiting) return;
  live.waiting = 0;
  requestAnimationFrame(() => ask(live));
}

function wire(live) {
  const { map } = live.el;
  const signal = { signal: live.ending.signal };
  map.addEventListener("pointerdown", (event) => {
    if (!live.header || event.button > 0) return;
    // Beside the star a finger scrolls the page.
    if (event.pointerType !== "mouse" && !live.el.star.contains(event.target)) return;
    live.pointer = event.pointerId;
    live.moved = true;
    map.setPointerCapture(event.pointerId);
    live.root.classList.add("held");
    couplingsAt(live, event);
    event.preventDefault();
    map.focus({ preventScroll: true });
  }, signal);
  map.addEventListener("pointermove", (event) => {
    if (event.pointerId === live.pointer) couplingsAt(live, event);
  }, signal);
  const release = (event) => {
    if (event.pointerId !== live.pointer) return;
    live.pointer = null;
    live.root.classList.remove("held");
    ask(live);
  };
  map.addEventListener("pointerup", release, signal);
  map.addEventListener("pointercancel", release, signal);
  map.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.5 : 0.1;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step],
      ArrowDown: [0, -step] }[event.key];
    if (!by || !live.header) return;
    event.stopPropagation();
    event.preventDefault();
    live.moved = true;
    move(live, live.star[0] + by[0], live.star[1] + by[1]);
  }, signal);
}

function create(parent) {
  const el = {};
  parent.querySelectorAll("[data-ref]").forEach((part) => { el[part.dataset.ref] = part; });
  const live = { el, root: el.root, ending: new AbortController(), header: null, star: null, settled: [],
    seq: 0, waiting: 0, pointer: null, until: 0, moved: false, frames: 0 };
  wire(live);
  return live;
}

export default function mount(component) {
  const { parentElement, data, setStateValue } = component;
  let live = LIVES.get(parentElement);
  if (!live || !live.root.isConnected) {
    if (live) live.ending.abort();
    live = create(parentElement);
    LIVES.set(parentElement, live);
  }
  live.setStateValue = setStateValue;
  if (data !== live.bytes) {
    live.bytes = data;
    try {
      adopt(live, data);
    } catch (error) {
      say(live.el.problem, String(error.message || error));
    }
  }
  return () => {
    live.ending.abort();
    LIVES.delete(parentElement);
  };
}
