// The painter: adds up bands and writes pixels. Nothing here knows about the page.

/** Columns, zoom and gap of the sheet of images, in canvas pixels; `air` widens the gap. */
function sheetOf(images, air = 1) {
  const root = Math.sqrt(images.n);
  let columns = Math.ceil(root);
  for (let c = columns; c <= 1.75 * root; c++) {
    if (images.n % c === 0) {
      columns = c;
      break;
    }
  }
  const zoom = Math.max(1, Math.round(32 / Math.max(images.width, images.height)));
  const gap = Math.max(1, Math.round(air * images.width * zoom / 32));
  const cellWidth = images.width * zoom + gap;
  const cellHeight = images.height * zoom + gap;
  const rows = Math.ceil(images.n / columns);
  return {
    columns, rows, zoom, gap, cellWidth, cellHeight,
    width: columns * cellWidth - gap, height: rows * cellHeight - gap,
  };
}

/** out[i] = Σ weight · values[offset + i] over the layers, four at a time. */
function addUp(layers, offset, size, out) {
  out.fill(0);
  let k = 0;
  for (; k + 3 < layers.length; k += 4) {
    addFour(out, size, offset, layers[k], layers[k + 1], layers[k + 2], layers[k + 3]);
  }
  for (; k < layers.length; k++) addOne(out, size, offset, layers[k][0], layers[k][1]);
}

function addFour(out, size, offset, first, second, third, fourth) {
  const [a, wa] = first;
  const [b, wb] = second;
  const [c, wc] = third;
  const [d, wd] = fourth;
  for (let i = 0, j = offset; i < size; i++, j++) {
    out[i] += wa * a[j] + wb * b[j] + wc * c[j] + wd * d[j];
  }
}

function addOne(out, size, offset, values, weight) {
  for (let i = 0, j = offset; i < size; i++, j++) out[i] += weight * values[j];
}

/** Writes one image's field into packed pixels at (x, y); columns [from, to) only. */
function writeImage(field, images, colors, target, stride, x, y, zoom, from, to) {
  const { height, width, low, high } = images;
  const plane = height * width;
  const scale = 255 / (high - low);
  const shift = 0.5 - low * scale;
  const level = (value) => {
    const v = value * scale + shift;
    return v >= 255 ? 255 : v >= 0 ? v | 0 : 0;
  };
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const i = row * width + column;
      const color = colors ? colors[level(field[i])]
        : 0xff000000 | (level(field[i + 2 * plane]) << 16) | (level(field[i + plane]) << 8)
          | level(field[i]);
      for (let dx = 0; dx < zoom; dx++) {
        const px = x + column * zoom + dx;
        if (px < from || px >= to) continue;
        for (let dy = 0; dy < zoom; dy++) target[(y + row * zoom + dy) * stride + px] = color;
      }
    }
  }
}

/**
 * Paints a sheet of all images. `sources` lists what to paint in the canvas columns [from, to):
 * {layers} are added up, {exact} is a finished picture [n, C, H, W].
 */
function paintSheet(canvas, message, sheet, sources) {
  const { images, colors } = message;
  if (canvas.width !== sheet.width || canvas.height !== sheet.height) {
    canvas.width = sheet.width;
    canvas.height = sheet.height;
  }
  const context = canvas.getContext("2d");
  if (!canvas.pixels || canvas.pixels.width !== sheet.width
    || canvas.pixels.height !== sheet.height) {
    canvas.pixels = context.createImageData(sheet.width, sheet.height);
  }
  const packed = new Uint32Array(canvas.pixels.data.buffer);
  const field = new Float32Array(images.size);
  for (let image = 0; image < images.n; image++) {
    const x = (image % sheet.columns) * sheet.cellWidth;
    const y = Math.floor(image / sheet.columns) * sheet.cellHeight;
    for (const source of sources) {
      if (source.to <= x || source.from >= x + sheet.cellWidth) continue;
      const offset = image * images.size;
      if (source.exact) field.set(source.exact.subarray(offset, offset + images.size));
      else addUp(source.layers, offset, images.size, field);
      writeImage(field, images, colors, packed, sheet.width, x, y, sheet.zoom,
        source.from, source.to);
    }
  }
  context.putImageData(canvas.pixels, 0, 0);
}

/** Paints one field [C, H, W], contrast stretched about the middle of the range. */
function paintField(canvas, message, field, factor) {
  const { images, colors } = message;
  const middle = (images.low + images.high) / 2;
  if (canvas.width !== images.width) canvas.width = images.width;
  if (canvas.height !== images.height) canvas.height = images.height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(images.width, images.height);
  const stretched = field.map((value) => middle + factor * value);
  writeImage(stretched, images, colors, new Uint32Array(pixels.data.buffer), images.width,
    0, 0, 1, 0, images.width);
  context.putImageData(pixels, 0, 0);
}

/** Whole device pixels per image pixel, wherever that costs little room. */
function snapScale(fit) {
  const ratio = window.devicePixelRatio || 1;
  const whole = Math.floor(fit * ratio) / ratio;
  return whole >= 0.8 * fit ? whole : fit;
}

/** Gives a canvas to the user as a PNG file. */
function saveCanvas(canvas, name) {
  canvas.toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
