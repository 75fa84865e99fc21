// The result channel: hands a settled message to the lab on the same page, and keeps the last one.

export default function mount({ data }) {
  if (!data || data === document.rgdiffSettled) return;
  document.rgdiffSettled = data;
  document.dispatchEvent(new CustomEvent("rgdiff-settled", { detail: data }));
}
