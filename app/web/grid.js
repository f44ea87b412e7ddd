// The generated images: black viewports, every pixel a whole number of screen pixels.
import { sampleUrl } from "./api.js";
import { copyButton, h, icon } from "./dom.js";

const SIZES = { S: 128, M: 192, L: 256 };

/** The size to start with: what was chosen before, else what the window has room for. */
export function startingSize() {
  try {
    const stored = localStorage.getItem("tile");
    if (stored && stored in SIZES) return stored;
  } catch {
    // Storage may be forbidden.
  }
  return innerWidth < 700 ? "S" : "M";
}

/** Radio buttons for the tiles' size. @param {(size: string) => void} change */
export function sizeChoice(size, change) {
  const names = { S: "Small tiles", M: "Medium tiles", L: "Large tiles" };
  const radio = (value) =>
    h(
      "label",
      { title: names[value] },
      h("input", {
        type: "radio",
        name: "tile",
        value,
        class: "unseen",
        checked: value === size,
        "aria-label": names[value],
        onchange: () => {
          change(value);
          try {
            localStorage.setItem("tile", value);
          } catch {
            // The choice then lasts until the page is left.
          }
        },
      }),
      h("span", { "aria-hidden": "true" }, value),
    );
  return h(
    "div",
    { class: "segments", role: "radiogroup", "aria-label": "Tile size" },
    ...Object.keys(SIZES).map(radio),
  );
}

const GAP = 12;

/**
 * Sets the tiles' width to the largest whole multiple of the image, in screen pixels, within a
 * size, never under twice a 64 px image: an uneven multiple would draw uneven pixels.
 */
export function applySize(results, size, resolution) {
  const ratio = devicePixelRatio || 1;
  const room = results.clientWidth || SIZES[size];
  // Two columns fill a phone.
  const wanted = room < 420 && size === "S" ? Math.max((room - GAP) / 2, SIZES.S) : SIZES[size];
  const times = Math.max(
    1,
    Math.floor((Math.min(wanted, Math.max(room, SIZES.S)) * ratio) / resolution),
  );
  const width = (times * resolution) / ratio;
  const columns = Math.max(1, Math.floor((room + GAP) / (width + GAP)));
  results.style.setProperty("--tile", `${width}px`);
  // The bar above ends where the last column does.
  const end = columns * (width + GAP) - GAP;
  results.style.setProperty("--grid", end > 420 ? `${end}px` : "100%");
}

/** As many empty viewports as are on their way. @param {number} count */
export function placeholders(count) {
  return Array.from({ length: count }, () =>
    h(
      "li",
      { class: "tile", "aria-hidden": "true" },
      h("div", { class: "viewport" }),
      h("div", { class: "caption" }),
    ),
  );
}

/**
 * One tile.
 * @param {{seed: number, label: string | null, width: number, height: number, png: string}} image
 */
export function tile(image, reference, truncation) {
  const said = `Synthetic ${image.label ?? "chest X-ray"}, seed ${image.seed}`;
  const stem = [reference.replace("@", "-"), image.label, image.seed].filter((x) => x !== null);
  return h(
    "li",
    { class: "tile", "aria-label": said },
    h(
      "div",
      { class: "viewport" },
      h("img", {
        src: `data:image/png;base64,${image.png}`,
        width: image.width,
        height: image.height,
        alt: said,
      }),
    ),
    h(
      "div",
      { class: "caption" },
      copyButton({
        text: () => String(image.seed),
        label: String(image.seed),
        name: `Copy seed ${image.seed}`,
        class: "seed mono",
        icon: false,
      }),
      h(
        "a",
        {
          class: "tile-link",
          href: sampleUrl(reference, image.label, image.seed, truncation),
          download: `${stem.join("-").replace(/[^\w.-]+/g, "_")}.png`,
          "aria-label": `Download seed ${image.seed}`,
          title: "Download PNG",
        },
        icon("down"),
      ),
      image.label && h("span", { class: "tile-label", title: image.label }, image.label),
    ),
  );
}
