// The panel around the curve: undo, named paths, the numbers of schedule and colour.

function wireSchedule(lab) {
  const { el } = lab;
  on(lab, el.undo, "click", () => undo(lab));
  on(lab, el.redo, "click", () => redo(lab));
  on(lab, el.reset, "click", () => resetCurve(lab));
  on(lab, el.numbers, "toggle", () => repaint(lab));
}

function resetCurve(lab) {
  const { points } = lab.origin.sides[lab.active];
  changeOnce(lab, "reset", (state) => { state.sides[lab.active].points = points; });
}

/** Rebuilds what depends on the side that is edited: title, presets, sliders. */
function buildSide(lab) {
  const { el, message } = lab;
  const side = message.sides[lab.active];
  lab.built = side;
  setText(el.note, side.note || "");
  el.presets.replaceChildren(...(side.path ? Object.entries(side.presets || {}) : [])
    .filter(([, points]) => arePoints(points))
    .map(([name, points]) => {
      const button = make("button", { title: `The path "${name}"` }, name);
      button.points = points;
      on(lab, button, "click", () => changeOnce(lab, "preset", (state) => {
        state.sides[lab.active].points = points;
      }));
      return button;
    }));
  for (const part of [el.tools, el.numbers]) toggle(part, side.path);
  el.sliders.replaceChildren();
  lab.sliders = (side.fixed ? ["shape"] : ["shape", "tint"]).filter((kind) => side[kind])
    .map((kind) => parameterSlider(lab, kind, side[kind]));
}

/** A process in a few words, with the noise as it is dragged. */
function titleOf(side, own) {
  const { name } = side;
  let noise = name.numbered && own.tint !== null ? numberedNoise(name.numbered, own.tint) : name.noise;
  const drawn = side.curve && own.curve ? !isFlat(own.curve, own.keep, side) : name.drawn;
  if (drawn) noise = `drawn on ${noise}`;
  if (name.start) noise = `${name.start} → ${noise}`;
  return name.pattern.replace("{}", noise);
}

/** What a colour is called at a value of its number. */
function numberedNoise({ pattern, digits, negative, special }, value) {
  if (special[value] !== undefined) return special[value];
  const told = String(Number(value.toPrecision(digits)));
  return (value < 0 && negative ? negative : pattern).replace("{}", told);
}

/** Shows the state in the panel's controls. */
function showSchedule(lab) {
  const { el, message, state } = lab;
  if (lab.built !== message.sides[lab.active]) buildSide(lab);
  const own = state.sides[lab.active];
  const title = titleOf(lab.built, own);
  setText(el.title, title);
  setAttributes(el.title, { title });
  [...el.presets.children].forEach((button) =>
    setAttributes(button, { "aria-pressed": samePoints(button.points, own.points) }));
  enable(lab, el.undo, canUndo(lab));
  enable(lab, el.redo, canRedo(lab));
  enable(lab, el.remove, lab.point > 0 && lab.point < own.points.length - 1);
  enable(lab, el.add, own.points.length < message.sides[lab.active].points_max);
  lab.sliders.forEach((show) => show(own));
}

function samePoints(first, second) {
  return first === second || (first.length === second.length
    && first.every((p, i) => Math.abs(p[0] - second[i][0]) + Math.abs(p[1] - second[i][1]) < 1e-6));
}
