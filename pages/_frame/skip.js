// The first stop of Tab: a button that leads past the menu and the controls in the sidebar, to the
// curve where the page has one, else to the page itself. It is seen only while it has the focus.

if (!document.getElementById("rgdiff-skip")) {
  const STYLE = "position: fixed; left: 0.75rem; top: 0.75rem; z-index: 1000000; padding: 0.6rem 1rem;"
    + "border: 0; border-radius: 0.5rem; background: #1b2230; color: #fff; font: 600 1rem sans-serif;";
  const HIDDEN = "transform: translateY(-200%);";

  const main = () => document.querySelector("[data-testid=stMain]");
  const curve = () => {
    for (const host of main()?.querySelectorAll("[data-testid^=stBidiComponent]") ?? []) {
      const point = host.shadowRoot?.querySelector("[data-ref=curve] .point");
      if (point && point.checkVisibility()) return point;
    }
    return null;
  };

  const skip = document.createElement("button");
  skip.id = "rgdiff-skip";
  skip.type = "button";
  skip.textContent = "Skip to the curve";
  skip.style.cssText = STYLE + HIDDEN;
  skip.addEventListener("focus", () => {
    skip.textContent = curve() ? "Skip to the curve" : "Skip to the content";
    skip.style.cssText = STYLE;
  });
  skip.addEventListener("blur", () => { skip.style.cssText = STYLE + HIDDEN; });
  skip.addEventListener("click", () => {
    const target = curve() ?? main();
    if (target && target === main()) target.tabIndex = -1;
    target?.focus();
  });
  document.body.prepend(skip);
}
