// A store: keeps band images for the labs on this page, under the identity that its header names.
// They are large and change rarely; a bands message refers to them.

export default function mount({ data, parentElement }) {
  const stores = (document.rgdiffLayers ||= new Map());
  const length = new DataView(data.buffer, data.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
  if (stores.get(parentElement)?.id !== header.id) {
    stores.set(parentElement, { id: header.id, bytes: data, layers: null });
    document.dispatchEvent(new CustomEvent("rgdiff-layers"));
  }
  return () => stores.delete(parentElement);
}
