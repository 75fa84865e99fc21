// The address bar. A page writes its state there right after it has opened, and Streamlit makes an
// entry of the browser's history of every change: Back would lead to the same page, without its
// state. So an address that only says more of the same page takes the place of the one before.

if (!window.rgdiffAddress) {
  const push = history.pushState.bind(history);

  const saysMore = (from, to) => to.origin + to.pathname === from.origin + from.pathname
    && [...from.searchParams].every(([name, value]) => to.searchParams.get(name) === value);

  history.pushState = (data, unused, url) => {
    const from = new URL(location.href);
    const to = new URL(url || "", from);
    if (saysMore(from, to)) history.replaceState(data, unused, url);
    else push(data, unused, url);
  };
  window.rgdiffAddress = true;
}
