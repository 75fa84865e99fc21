// The sampler's panel: method, steps, number, seed, grid; and the zoom's.

function wireSampler(lab) {
  const { el } = lab;
  for (const name of ["method", "grid"]) {
    on(lab, el[name], "change", () =>
      changeOnce(lab, name, (state) => { state[name] = el[name].value; }));
  }
  typedNumber(lab, el.seed, el.seedBad, "The seed", () => [0, 2 ** 31 - 1], (value) =>
    changeOnce(lab, "seed", (state) => { state.seed = Math.round(value); }));
  on(lab, el.newSeed, "click", () => newSeed(lab));
}

function newSeed(lab) {
  changeOnce(lab, "seed", (state) => { state.seed = Math.floor(Math.random() * 1e6); });
}

/** Rebuilds what depends on the message. */
function buildSampler(lab) {
  const { el, message } = lab;
  const option = ({ name, title, help }, off) => {
    const made = make("option", { value: name, title: help }, title);
    made.disabled = off;
    return made;
  };
  el.method.replaceChildren(...message.methods.map((each) =>
    option(each, each.ode && !message.continuous)));
  el.grid.replaceChildren(...message.grids.map((each) => option(each, false)));
  el.about.replaceChildren(...[...message.methods, ...message.grids].flatMap(({ title, help }) =>
    [make("dt", {}, title), make("dd", {}, help)]));
  const write = (name) => (gesture, value) =>
    change(lab, gesture, (state) => { state[name] = value; });
  const slider = (host, about, change) =>
    numberSlider(lab, host, about, change || write(about.name));
  const host = el.numbersOfSampler;
  host.replaceChildren();
  el.etaSlider.replaceChildren();
  lab.numbers = {
    steps: slider(host, { name: "steps", low: 1, high: message.stepsMost, log: true, whole: true,
      label: "Steps", help: "From noise to data. More are slower and closer to the exact flow." }),
    n: slider(host, { name: "n", low: 1, high: Math.max(2, message.most), whole: true,
      label: "Samples", help: "How many are drawn. Each has its own stream of random numbers." }),
    eta: slider(el.etaSlider, { name: "eta", low: 0, high: 1, label: "η of DDIM",
      help: "0: the same noise all the way; 1: fresh noise in every step, as in DDPM." }),
  };
  buildGuidance(lab, slider);
  toggle(el.zoomPanel, Boolean(lab.state.zoom));
  toggle(el.spectrumPanel, Boolean(message.sides[0].dataPower));
  setText(el.colorNote, message.colorNote);
  toggle(el.colorNote, Boolean(message.colorNote));
  el.zoomSliders.replaceChildren();
  const into = (name) => (gesture, value) =>
    change(lab, gesture, (state) => { state.zoom[name] = value; });
  const zoom = (name, about) =>
    [name, slider(el.zoomSliders, { name: `zoom-${name}`, ...about }, into(name))];
  lab.zoomNumbers = lab.state.zoom ? [
    zoom("cutoff", { low: 0, high: 1, label: "Scales kept, up to",
      help: "0 keeps the mean only, 1 the whole image." }),
    zoom("softness", { low: 0.01, high: 1, log: true, label: "Softness",
      help: "Over how many scales the given part fades out." }),
    zoom("image", { low: 0, high: Math.max(1, message.count - 1), whole: true, label: "Image",
      help: "Its number in the data set." }),
  ] : [];
}

function showSampler(lab) {
  const { el, message, state } = lab;
  setValue(lab, el.method, state.method);
  setValue(lab, el.grid, state.grid);
  setValue(lab, el.seed, String(state.seed));
  for (const [name, show] of Object.entries(lab.numbers)) show(state[name]);
  for (const [name, show] of lab.zoomNumbers) show(state.zoom[name]);
  toggle(el.etaSlider, state.method === "ddim");
  showGuidance(lab);
  const method = message.methods.find((each) => each.name === state.method);
  const jumps = message.continuous ? ""
    : ` ${method.at_jumps} This schedule is discontinuous: ODE samplers are disabled.`;
  setText(el.methodHelp, method.help + jumps);
}
