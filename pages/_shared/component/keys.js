// The keyboard, and the sheet that lists its keys.

/** Lets `act(lab, event)` do what a key stands for; it returns false where that is nothing. */
function wireKeys(lab, sheet, act) {
  const { el, root } = lab;
  el.keyList.replaceChildren(...sheet.flatMap(([keys, meaning]) =>
    [make("dt", {}, keys), make("dd", {}, meaning)]));
  on(lab, el.help, "click", () => el.keys.showModal());
  on(lab, root, "keydown", (event) => {
    // Streamlit has keys of its own on the document (R runs the page again).
    event.stopPropagation();
    if (!lab.message || event.defaultPrevented || el.keys.open) return;
    if (isTaken(event)) return;
    if (event.ctrlKey || event.metaKey) return void undoKey(lab, event);
    if (act(lab, event)) event.preventDefault();
  });
  on(lab, root, "keyup", (event) => {
    event.stopPropagation();
    if (lab.gesture && lab.gesture.startsWith("key-")) endGesture(lab);
  });
}
