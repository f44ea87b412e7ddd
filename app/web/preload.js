// A plain script in the head: where the address is Generate's, its modules are asked for at once, and
// not one after the other as they name each other.
(() => {
  if (location.pathname !== "/") return;
  const names =
    "page compare downloads form grid history inspector nearest recall request scrubber window";
  for (const name of names.split(" ")) {
    const link = document.createElement("link");
    link.rel = "modulepreload";
    link.href = `/static/generate/${name}.js`;
    document.head.append(link);
  }
})();
