// Messages from Python: the binary container, and what the lab keeps of a message.
// The format is written down in docs/lab-protocol.md.

const DECODED_BYTES = 128 * 2 ** 20; // of band images that are kept for a choice made again
const GAMMA_MAX = 40; // of what is finished: its weights are 1 and next to nothing

const HALF_FLOATS = (() => {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
})();

/** Header and arrays of a container; halves become floats, arrays that share bytes are shared. */
function unpack(bytes) {
  if (!ArrayBuffer.isView(bytes) || bytes.length < 8) {
    throw new Error("The lab got no message it can read.");
  }
  const own = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const view = new DataView(own.buffer, own.byteOffset, own.byteLength);
  const length = view.getUint32(0, true);
  const start = 4 + length;
  if (start > own.length || start % 8) throw new Error("The lab's message is cut off.");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(own.subarray(4, start)));
  } catch {
    throw new Error("The header of the lab's message is no JSON.");
  }
  const decoded = new Map();
  const take = (name) => {
    const spec = (header.arrays || {})[name];
    if (!spec) throw new Error(`The lab's message lacks the array "${name}".`);
    const key = `${spec.dtype}:${spec.offset}:${spec.shape}`;
    if (!decoded.has(key)) decoded.set(key, readArray(own, start, name, spec));
    return decoded.get(key);
  };
  return { header, take, has: (name) => name in (header.arrays || {}) };
}

function readArray(own, start, name, spec) {
  const count = spec.shape.reduce((product, size) => product * size, 1);
  const width = { f2: 2, f4: 4, u1: 1 }[spec.dtype];
  const from = own.byteOffset + start + spec.offset;
  if (!width || start + spec.offset + count * width > own.length) {
    throw new Error(`The array "${name}" of the lab's message does not fit.`);
  }
  let values;
  if (spec.dtype === "f4") values = new Float32Array(own.buffer, from, count);
  else if (spec.dtype === "u1") values = new Uint8Array(own.buffer, from, count);
  else {
    const halves = new Uint16Array(own.buffer, from, count);
    values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = HALF_FLOATS[halves[i]];
  }
  return { values, shape: spec.shape };
}

function takeShaped(message, name, shape) {
  const array = message.take(name);
  const fits = array.shape.length === shape.length
    && shape.every((size, axis) => size === null || size === array.shape[axis]);
  if (!fits) {
    throw new Error(`The array "${name}" has shape [${array.shape}], not [${shape}].`);
  }
  return array;
}

/** One bands message, checked and cut into one Float32Array per band. */
function readBands(bytes) {
  const message = unpack(bytes);
  const { header } = message;
  if (header.kind !== "bands") throw new Error("The lab expects a message of bands.");
  const images = { ...header.images };
  images.size = images.channels * images.height * images.width;
  if (!(images.n >= 1 && images.size >= 1 && images.high > images.low)) {
    throw new Error("The lab's message describes no images.");
  }
  if (!header.sides || header.sides.length < 1 || header.sides.length > 2) {
    throw new Error("The lab's message needs one or two sides.");
  }
  const information = takeShaped(message, "information", [null]);
  return {
    header,
    images,
    revision: String(header.revision),
    id: header.id || "",
    colors: colorTable(message, images),
    information: { ...header.information, values: information.values },
    sides: header.sides.map((side, index) => readSide(message, images, side, index)),
    state: header.state || {},
    opening: Boolean(header.opening), history: header.history || {},
  };
}

function readSide(message, images, side, index) {
  const { n, channels, height, width } = images;
  const bands = side.nodes.length;
  const get = (name, shape) => takeShaped(message, `${index}/${name}`, shape);
  const alpha = get("alpha", [null, null, bands]);
  const [parameters, ordinates] = alpha.shape;
  const tint = get("tint", [null, null, side.noise.length, bands]);
  const [tints, moves] = tint.shape;
  const sigma = get("sigma", [parameters, ordinates, bands]);
  const shape = [bands, n, channels, height, width];
  const data = storedLayers(side.data, shape);
  const noise = side.noise.map((id) => storedLayers(id, shape));
  return {
    ...side, index, bands, parameters, ordinates,
    data: data.images,
    noise: noise.flatMap((layers) => layers.images),
    dataPeak: data.peaks,
    noisePeak: noise.flatMap((layers) => layers.peaks),
    alpha: alpha.values,
    sigma: sigma.values,
    gamma: logRatio(alpha.values, sigma.values),
    moves,
    motion: get("motion", [moves]).values,
    tintTable: tint.values,
    dataPower: get("data_power", [bands]).values,
    noisePower: get("noise_power", [tints, moves, bands]).values,
    share: side.curve ? get("share", [tints, bands]).values : null,
    front: side.path ? get("front", [parameters, ordinates]).values : null,
    cutoffs: side.path ? get("cutoff", [parameters, ordinates]).values : null,
  };
}

/** γ = log σ²/α², which need not be sent. */
function logRatio(alpha, sigma) {
  return sigma.map((value, i) => clamp(2 * Math.log(value / alpha[i]), -GAMMA_MAX, GAMMA_MAX));
}

/** Says that band images which a message refers to have not come yet. */
class LayersAwaited extends Error {}

/** Band images by their identity, one Float32Array per band, with the largest size in each. */
function storedLayers(id, shape) {
  const store = [...(document.rgdiffLayers || new Map()).values()].find((each) => each.id === id);
  if (!store) throw new LayersAwaited(`The band images ${id} have not come yet.`);
  if (!store.layers) {
    store.layers = (document.rgdiffDecoded ||= new Map()).get(id) || decodedLayers(store, shape);
    keepDecoded(id, store.layers);
  }
  return store.layers;
}

function decodedLayers(store, shape) {
  const all = takeShaped(unpack(store.bytes), "layers", shape).values;
  const step = all.length / shape[0];
  const images = Array.from({ length: shape[0] }, (_, b) => all.subarray(b * step, (b + 1) * step));
  return { images, peaks: images.map(peak), bytes: all.byteLength };
}

/** Keeps the images of a choice that may be made again, up to a limit of all their bytes. */
function keepDecoded(id, layers) {
  const kept = document.rgdiffDecoded;
  kept.delete(id);
  kept.set(id, layers);
  let sum = 0;
  for (const [each, { bytes }] of [...kept].reverse()) {
    sum += bytes;
    if (sum > DECODED_BYTES) kept.delete(each);
  }
}

function peak(values) {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size > largest) largest = size;
  }
  return largest;
}

/** 256 packed colours for one-channel images, null for colour images. */
function colorTable(message, images) {
  if (images.colormap === "rgb") {
    if (images.channels !== 3) throw new Error("Colour images need three channels.");
    return null;
  }
  const table = new Uint32Array(256);
  const map = images.colormap === "diverging"
    ? takeShaped(message, "colormap", [256, 3]).values : null;
  for (let i = 0; i < 256; i++) {
    const [r, g, b] = map ? map.subarray(3 * i, 3 * i + 3) : [i, i, i];
    table[i] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return table;
}

/** A settled message: exact pictures, and the tables of the blended process. */
function readSettled(bytes) {
  const message = unpack(bytes);
  const { header } = message;
  if (header.kind !== "settled") throw new Error("The result channel expects a settled message.");
  const picture = (name) => (message.has(name) ? message.take(name).values : null);
  let blend = null;
  if (header.blend && message.has("blend/alpha")) {
    const alpha = message.take("blend/alpha");
    const [parameters, ordinates, bands] = alpha.shape;
    const sigma = takeShaped(message, "blend/sigma", alpha.shape).values;
    blend = { parameters, ordinates, bands, alpha: alpha.values, sigma };
  }
  return {
    seq: header.seq,
    revision: String(header.revision),
    exact: [picture("0/exact"), picture("1/exact")],
    blendExact: picture("blend/exact"),
    blend,
    blendNote: header.blend_note || "",
    problem: header.problem || "",
    bits: header.bits || [],
  };
}
