// Pictures from the clipboard, while the place for one's own images is open: they go the way of files
// that are chosen there, with the same checks.

if (!window.rgdiffPaste) {
  const place = () => document.querySelector(".st-key-dataset-files input[type=file]");

  document.addEventListener("paste", (event) => {
    const pictures = [...(event.clipboardData?.files ?? [])]
      .filter((file) => file.type.startsWith("image/"));
    const input = place();
    if (!pictures.length || !input) return;
    const transfer = new DataTransfer();
    pictures.forEach((file) => transfer.items.add(file));
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    event.preventDefault();
  });
  window.rgdiffPaste = true;
}
