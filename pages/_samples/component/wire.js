// The WebSocket over which samples follow a drag: one request under way, the latest waits for it.

const PATIENCE_MS = 250;
const QUICK_MS = 1200; // a draw that takes less is let finish before the next is asked for
const SPACING_MS = 40; // between two requests
const PREVIEW_S = 0.15; // while something is dragged, a draw is of what fits it, in four steps at least
const RETRIES = 3;
const ENOUGH = 1000; // codes of a line that the server closed
const REFUSED = [1008, 1009, 1013];
const ALONE = "There is no live connection to the server "
  + "(behind a proxy, see docs/deployment.md): "
  + "samples are drawn when you stop dragging.";

function liveAddress() {
  const folder = location.pathname.replace(/\/+$/, "").replace(/\/[^/]*$/, "");
  const protocol = location.protocol === "https:" ? "wss" : "ws";
  return `${protocol}://${location.host}${folder}/live/samples`;
}

function connect(lab) {
  if (lab.gone || lab.socket) return;
  const socket = new WebSocket(liveAddress());
  socket.binaryType = "arraybuffer";
  lab.socket = socket;
  on(lab, socket, "open", () => {
    lab.tries = 0;
    if (lab.wanted) ask(lab);
  });
  on(lab, socket, "message", (event) => hear(lab, event.data));
  on(lab, socket, "close", (event) => {
    if (lab.socket !== socket) return;
    lab.socket = null;
    if (event.code === ENOUGH && !lab.wanted) return;
    if (REFUSED.includes(event.code)) return void refuse(lab, event.reason);
    lab.tries += 1;
    lab.wanted = true;
    lab.asked = null;
    if (lab.tries <= RETRIES) lab.retry = setTimeout(() => connect(lab), 400 * lab.tries);
    else goAlone(lab);
  });
}

/** Continues without the live line: Python draws when dragging stops. */
function goAlone(lab) {
  lab.deaf = true;
  lab.live = false;
  scheduleRest(lab);
  repaint(lab);
}

/** Whether something that the samples depend on is being dragged. */
function isDragging(lab) {
  return lab.gesture !== null && lab.gesture !== "time";
}

/**
 * How long a draw may go on before the next request stops it: a preview ends in any case, so that
 * a drag always shows something, and a whole draw gives way to a drag at once.
 */
function patience(lab) {
  if (lab.asked.preview) return Infinity;
  if (isDragging(lab)) return SPACING_MS;
  return lab.took < QUICK_MS ? Math.max(PATIENCE_MS, 2.5 * lab.took) : PATIENCE_MS;
}

/** Asks for samples of the present state, now or when the request under way has had its time. */
function ask(lab) {
  lab.stopped = false;
  lab.wanted = true;
  clearTimeout(lab.askTimer);
  if (!lab.live) return;
  if (!lab.socket) return void connect(lab);
  if (lab.socket.readyState !== WebSocket.OPEN) return;
  const rest = lab.askedAt + (lab.asked ? patience(lab) : SPACING_MS) - performance.now();
  if (rest === Infinity) return; // asked again when the preview is there
  if (rest > 0) {
    lab.askTimer = setTimeout(() => ask(lab), rest);
    return;
  }
  lab.wanted = false;
  lab.askedAt = performance.now();
  const preview = isDragging(lab);
  lab.line += 1; // no number comes twice, though that of the state begins anew with a revision
  lab.asked = { line: lab.line, seq: lab.seq, at: lab.askedAt, input: lab.changedAt, preview };
  lab.coming = null;
  lab.place = 0;
  lab.socket.send(JSON.stringify({ kind: "draw", seq: lab.line, page_state: lab.message.pageState,
    client_state: copyState(lab.state), ...(preview ? { within: PREVIEW_S } : {}) }));
  lab.lateTimer = setTimeout(() => repaint(lab), PATIENCE_MS);
}

function stopDrawing(lab) {
  if (!lab.asked && !lab.wanted) return;
  Object.assign(lab, { stopped: true, asked: null, wanted: false });
  clearTimeout(lab.askTimer);
  if (lab.socket && lab.socket.readyState === WebSocket.OPEN) {
    lab.socket.send(JSON.stringify({ kind: "cancel", seq: lab.line }));
  }
  repaint(lab);
}

/** Shows why the server does not draw, until it is asked again. */
function refuse(lab, sentence) {
  Object.assign(lab, { asked: null, stopped: true, refused: sentence });
  repaint(lab);
}

function hear(lab, data) {
  if (typeof data !== "string") return void takeFrames(lab, new Uint8Array(data), true);
  const { kind, seq, sentence, place } = JSON.parse(data);
  if (!lab.asked || (seq !== lab.asked.line && seq >= 0)) return;
  if (kind === "queued") {
    lab.place = place;
    repaint(lab);
  } else {
    refuse(lab, sentence);
    if (lab.wanted) ask(lab);
  }
}

/** Takes some frames of a draw, from the live line or from the result channel. */
function takeFrames(lab, bytes, heard) {
  const message = unpack(bytes);
  const { header } = message;
  if (header.kind !== "frames" || !lab.message) return;
  const expected = heard ? lab.asked && lab.asked.line : lab.seq;
  if (header.seq !== expected || (!heard && header.revision !== lab.message.revision)) return;
  const at = heard ? lab.asked.at : performance.now();
  const seq = heard ? lab.asked.seq : lab.seq;
  if (!lab.coming || lab.coming.seq !== seq) {
    const input = heard ? lab.asked.input : at;
    lab.coming = { seq, at, input, frames: [], steps: header.steps, done: false };
  }
  const draw = lab.coming;
  Object.assign(draw, { done: header.done, left: header.left, seconds: header.seconds,
    whole: header.whole });
  const [x, denoised] = ["x", "denoised"].map((name) => message.take(name));
  const size = x.values.length / header.of.length;
  header.of.forEach((step, i) => draw.frames.push({ step, time: header.times[i], n: x.shape[1],
    x: x.values.subarray(i * size, (i + 1) * size),
    denoised: denoised.values.subarray(i * size, (i + 1) * size),
    distribution: histogramPart(message, i) }));
  lab.refused = "";
  lab.place = 0;
  const early = performance.now() - draw.at <= PATIENCE_MS || (heard && lab.asked.preview);
  const stored = lab.draw && lab.draw.stored;
  if (draw.done || !(early || stored)) lab.draw = draw;
  if (draw.done) {
    lab.asked = null;
    if (heard) awaitReference(lab, header.reference_pending);
    if (draw.whole) lab.took = performance.now() - draw.at;
    if (heard && (lab.wanted || (!draw.whole && !lab.gesture))) ask(lab);
    else if (lab.unsaid) scheduleRest(lab);
  }
  repaint(lab);
}
