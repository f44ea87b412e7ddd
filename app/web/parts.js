// Small components that every page is made of.  Text only ever becomes a text node.
import { html, useEffect, useId, useRef, useState } from "./vendor/ui/ui.js";

const ICONS = {
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  down: "M8 2v8.5M4.5 7 8 10.500 11.500 7M2.500 13.500h11",
  again: "M13 8a5 5 0 1 1-1.500-3.550M13 2v3h-3",
  left: "M10 3 5 8l5 5",
  right: "m6 3 5 5-5 5",
  close: "m4 4 8 8M12 4l-8 8",
  play: "M5 3v10l8-5z",
  pause: "M5.500 3v10M10.500 3v10",
};

/** A 16 px line icon, hidden from assistive technology. @param {{name: keyof typeof ICONS}} props */
export function Icon({ name }) {
  return html`<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <path d=${ICONS[name]} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round" />
  </svg>`;
}

/** Says a sentence in the page's one live region. */
export function announce(sentence) {
  const region = document.getElementById("announce");
  if (region) region.textContent = sentence;
}

/** Saves a file that came. @param {Blob} content */
export function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not a secure context, or not allowed: the old way still works on a click.
    const area = document.createElement("textarea");
    area.value = text;
    area.readOnly = true;
    area.className = "unseen";
    // Inside an open dialog only the dialog's own content can be selected.
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Copies a text and says so. @returns {Promise<boolean>} */
export async function copy(text) {
  const focused = document.activeElement;
  const done = await copied(text);
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  announce(done ? "Copied" : "The browser did not allow copying");
  return done;
}

/**
 * A button that copies `text()` and says so in its own place.
 * @param {{text: () => string, label: string, name?: string, class?: string, icon?: boolean}} props
 *   `name` is the accessible name where the label alone says too little.
 */
export function CopyButton({ text, label, name, class: kind = "small", icon = true }) {
  const [said, say] = useState("");
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  async function click() {
    say((await copy(text())) ? "Copied" : "Not copied");
    clearTimeout(timer.current);
    timer.current = setTimeout(() => say(""), 1200);
  }
  return html`<button type="button" class=${kind} aria-label=${name} title=${name} onClick=${click}>
    ${icon && html`<${Icon} name="copy" />`}<span>${said || label}</span>
  </button>`;
}

/**
 * A labelled control: `children(props)` is given what ties it to its label, hint and error.
 * @param {{label: string, error?: string, hint?: any, inline?: boolean, children: Function}} props
 */
export function Field({ label, error, hint, inline = false, children }) {
  const id = useId();
  const told = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  const control = children({
    id,
    "aria-describedby": told || undefined,
    "aria-invalid": error ? "true" : undefined,
  });
  const text = html`<label for=${id}>${label}</label>`;
  return html`<div class="field">
    ${!inline && text}
    <div class=${inline ? "check" : "beside"}>${control}${inline && text}</div>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}
  </div>`;
}

/**
 * A message about something that has no field.
 * @param {{problem: import("./api.js").Problem, again?: () => void}} props `again`: asks once more
 */
export function Banner({ problem, again, children }) {
  return html`<div class="banner" role="alert">
    <p>${problem.message}</p>
    ${problem.content?.remedy && html`<p class="hint">${problem.content.remedy}</p>`}
    <div class="bar">
      ${again && html`<button type="button" onClick=${again}>Try again</button>`}${children}
      <${CopyButton} text=${() => problem.details()} label="Copy details" />
    </div>
  </div>`;
}

/** A progress bar. @param {{fraction: number, label: string}} props fraction: 0 to 1 */
export function Progress({ fraction, label }) {
  const done = Math.min(Math.max(fraction || 0, 0), 1);
  return html`<div class="progress" role="progressbar" aria-label=${label}
      aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.floor(100 * done)}>
    <span style=${{ width: `${(100 * done).toFixed(2)}%` }}></span>
  </div>`;
}

/**
 * One of a few, as joined buttons.
 * @param {{label: string, value: string, options: [string, string, string?][], onChange: Function}} props
 *   options: value, what is shown, and its full name
 */
export function Segments({ label, value, options, onChange }) {
  const name = useId();
  return html`<div class="segments" role="radiogroup" aria-label=${label}>
    ${options.map(
      ([key, shown, full = shown]) => html`<label key=${key} title=${full}>
        <input type="radio" class="unseen" name=${name} value=${key} checked=${key === value}
          aria-label=${full} onChange=${() => onChange(key)} />
        <span aria-hidden="true">${shown}</span>
      </label>`,
    )}
  </div>`;
}

/** A button that is on or off. */
export function Toggle({ on, onChange, children, ...rest }) {
  return html`<button type="button" class="small" aria-pressed=${String(on)}
    onClick=${() => onChange(!on)} ...${rest}>${children}</button>`;
}

/** A number by slider and by box: dragging is never the only way. */
export function Slider({ label, value, min, max, step, onChange, unit = "", control = {} }) {
  const change = (event) => {
    const given = Number(event.currentTarget.value);
    if (event.currentTarget.value !== "" && Number.isFinite(given)) onChange(given);
  };
  return html`<div class="beside">
    <input type="number" min=${min} max=${max} step=${step} value=${value} onChange=${change} ...${control} />
    <input type="range" min=${min} max=${max} step=${step} value=${value} aria-label=${label}
      aria-valuetext=${unit ? `${value} ${unit}` : undefined} onInput=${change} />
  </div>`;
}

/**
 * A modal dialog: open while it is rendered.
 * @param {{title: string, onClose: () => void, held?: boolean}} props `held`: Escape does not close it
 */
export function Dialog({ title, onClose, held, class: kind, children }) {
  const element = useRef(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    // Closed, and not only removed, it gives the focus back.
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${element} class=${kind} aria-labelledby=${id} onClose=${onClose}
    onCancel=${(event) => held && event.preventDefault()}>
    <h2 id=${id}>${title}</h2>
    ${children}
  </dialog>`;
}

/**
 * The page of one thing until that is there, and why it is not: the heading is the same element
 * after, so that it keeps the focus.  To be called, not a component.
 * @param {string} title @param {any} back a link @param {import("./api.js").Problem | null} problem
 */
export const coming = (title, back, problem) => html`<div class="run-page">
  <p>${back}</p>
  <header class="run-head"><div class="run-title"><h1 tabindex="-1">${title}</h1></div></header>
  ${problem && html`<${Banner} problem=${problem} />`}
</div>`;

/** Of what is asked for: while it is under way, when it failed, what came. */
export function useAsked(ask, dependencies) {
  const [state, set] = useState({ content: null, problem: null, waiting: true });
  const [turn, again] = useState(0);
  useEffect(() => {
    const leaving = new AbortController();
    set((before) => ({ ...before, waiting: true }));
    ask(leaving.signal).then(
      (content) => leaving.signal.aborted || set({ content, problem: null, waiting: false }),
      (problem) =>
        leaving.signal.aborted || set((before) => ({ ...before, problem, waiting: false })),
    );
    return () => leaving.abort();
  }, [...dependencies, turn]);
  return { ...state, again: () => again((n) => n + 1) };
}
