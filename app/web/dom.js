// Small functions that make DOM.  Text only ever becomes a text node.

const PROPERTIES = new Set(["value", "checked", "selected", "disabled", "hidden", "open"]);

/**
 * An element.  `onclick`-like functions become listeners; null and false attributes are left out.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node | string | number | null | false | undefined)} children
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  // A select's value holds only once its options are there, so children come first.
  element.append(...children.filter((c) => c !== null && c !== false && c !== undefined));
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element. @param {string} tag @param {Record<string, any>} [attributes] */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

const ICONS = {
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  down: "M8 2v8.5M4.5 7 8 10.5 11.5 7M2.5 13.500h11",
  again: "M13 8a5 5 0 1 1-1.5-3.550M13 2v3h-3",
  left: "M10 3 5 8l5 5",
  right: "m6 3 5 5-5 5",
};

/** A 16 px line icon, hidden from assistive technology. @param {keyof typeof ICONS} name */
export function icon(name) {
  const path = svg("path", {
    d: ICONS[name],
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 1.5,
    "stroke-linejoin": "round",
    "stroke-linecap": "round",
  });
  return svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, path);
}

/** Says a sentence in the page's one live region. */
export function announce(sentence) {
  const region = document.getElementById("announce");
  if (region) region.textContent = sentence;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not a secure context, or not allowed: the old way still works on a click.
    const area = h("textarea", { class: "unseen", value: text, readonly: true });
    // Inside an open dialog only the dialog's own content can be selected.
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/**
 * A button that copies `text()` and says so in its own place.
 * @param {{text: () => string, label: string, class?: string, name?: string, icon?: boolean}} options
 *   `name` is the accessible name where the label alone says too little.
 */
export function copyButton({ text, label, class: kind = "small", name, icon: drawn = true }) {
  const word = h("span", {}, label);
  const button = h(
    "button",
    { type: "button", class: kind, "aria-label": name, title: name },
    drawn && icon("copy"),
    word,
  );
  let timer = 0;
  button.addEventListener("click", async () => {
    const focused = document.activeElement;
    const done = await copy(text());
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
    word.textContent = done ? "Copied" : "Not copied";
    announce(done ? "Copied" : "The browser did not allow copying");
    clearTimeout(timer);
    timer = setTimeout(() => (word.textContent = label), 1200);
  });
  return button;
}

/** Leads to another address of the page without loading it anew. @param {string} address */
export function navigate(address) {
  history.pushState(null, "", address);
  dispatchEvent(new PopStateEvent("popstate"));
}
