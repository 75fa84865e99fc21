// The address bar. A page writes its state there when it has opened and whenever dragging stops, and
// Streamlit makes an entry of the browser's history of every change: Back would lead through all of
// them. What a page did, its own Undo takes back; so an address of the same page takes the place of
// the one before, and Back leads to the page before.

if (!window.rgdiffAddress) {
  const push = history.pushState.bind(history);
  const page = (url) => url.origin + url.pathname;

  history.pushState = (data, unused, url) => {
    const from = new URL(location.href);
    const to = new URL(url || "", from);
    if (page(to) === page(from)) history.replaceState(data, unused, url);
    else push(data, unused, url);
  };
  window.rgdiffAddress = true;
}
