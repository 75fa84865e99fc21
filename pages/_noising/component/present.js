// The presenter's view: pictures, curve and transport alone, as large as the window. It is the same
// lab in the browser's top layer, so nothing of its state changes. The address has it: ?present=1.

const PRESENT = "present";
const PRESENT_MS = 1000;

function isPresentAsked() {
  return new URLSearchParams(location.search).get(PRESENT) === "1";
}

function writePresent(shown) {
  const url = new URL(location.href);
  if (shown) url.searchParams.set(PRESENT, "1");
  else url.searchParams.delete(PRESENT);
  history.replaceState(history.state, "", url);
}

/** Shows the presenter's view or leaves it; in it Play goes there and back. */
function present(lab, shown) {
  if (lab.presenting === shown) return;
  const { el, root } = lab;
  const focused = root.getRootNode().activeElement;
  const { loop, direction } = lab;
  lab.presenting = shown;
  setAttributes(root, { "data-present": shown });
  if (shown) {
    lab.before = { loop, direction, focused };
    lab.loop = true;
    setAttributes(root, { role: "dialog", "aria-modal": true });
    root.popover = "manual";
    root.showPopover();
  } else {
    Object.assign(lab, { loop: lab.before.loop, direction: lab.before.direction });
    for (const name of ["popover", "role", "aria-modal"]) root.removeAttribute(name);
  }
  const name = shown ? "Leave the presenter's view" : "Presenter's view";
  setAttributes(el.present, { "aria-label": name, title: shown ? `${name} (Esc)` : `${name} (P)` });
  const back = shown ? null : lab.before.focused;
  (back && root.contains(back) ? back : root).focus({ preventScroll: true });
  writePresent(shown);
  keepPresent(lab);
  sizeAll(lab);
}

/** Enters the view that the address asks for, when the lab has its first message. */
function openPresent(lab) {
  if (lab.opened) return;
  lab.opened = true;
  if (isPresentAsked()) present(lab, true);
}

/** Corrects the address where Python, which may have read an older one, wrote it back. */
function keepPresent(lab) {
  clearTimeout(lab.presentTimer);
  lab.presentTimer = setTimeout(() => {
    if (!lab.gone && isPresentAsked() !== lab.presenting) writePresent(lab.presenting);
  }, PRESENT_MS);
}

function wirePresent(lab) {
  on(lab, lab.root, "focusout", ({ relatedTarget }) => {
    if (lab.presenting && relatedTarget && !lab.root.contains(relatedTarget)) {
      lab.root.focus({ preventScroll: true });
    }
  });
  on(lab, lab.el.present, "click", () => present(lab, !lab.presenting));
  on(lab, document, "keydown", (event) => {
    if (!lab.presenting || event.composedPath().includes(lab.root) || lab.el.keys.open) return;
    lab.root.focus({ preventScroll: true }); // the page behind it has no keys
    if (act(lab, event)) event.preventDefault();
    event.stopPropagation();
  });
}
