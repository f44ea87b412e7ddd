// What to draw: the form of the Generate page.
import { Field, Icon, Slider } from "../parts.js";
import { html, useEffect, useRef, useState } from "../vendor/ui/ui.js";
import { COUNT_MAX, SEED_MAX, TRUNCATION_MAX, described, drawnSeed } from "./request.js";

/**
 * @param {{models: any[], request: any, edit: (change: any) => void, errors: Record<string, string>,
 *   busy: boolean, submit: (change?: any) => void}} props
 *   request: as its boxes hold it, count, seed and truncation as text
 */
export function GenerateForm({ models, request, edit, errors, busy, submit, children }) {
  const form = useRef(null);
  const [advanced, setAdvanced] = useState(request.truncation !== "1");
  const entry = models.find((m) => m.reference === request.model);
  const labels = entry?.labels ?? [];
  useEffect(() => {
    if (errors.truncation) setAdvanced(true);
    form.current.querySelector("[aria-invalid=true]")?.focus();
  }, [errors]);
  const on = (name) => (event) => edit({ [name]: event.currentTarget.value });
  return html`<form class="panel form" ref=${form} novalidate aria-label="What to generate"
    onSubmit=${(event) => (event.preventDefault(), submit())}>
    <${Field} label="Model" error=${errors.model} hint=${entry ? described(entry) : null}>
      ${(tied) => html`<select ...${tied} value=${request.model}
        onChange=${(event) => edit({ model: event.currentTarget.value, label: null, each: false })}>
        ${!entry && html`<option value=${request.model}>${request.model}</option>`}
        ${models.map(
          (m) => html`<option key=${m.reference} value=${m.reference} disabled=${!m.usable}>
          ${m.usable ? `${m.reference}${m.active ? " (active)" : ""}` : `${m.reference}: ${m.reason}`}
        </option>`,
        )}
      </select>`}
    <//>
    ${
      (labels.length > 0 || request.label !== null) &&
      html`<${Field} label="Class" error=${errors.label}>
      ${(
        tied,
      ) => html`<select ...${tied} value=${request.each ? EACH : request.label === null ? "" : `=${request.label}`}
        onChange=${(event) => edit(chosenClass(event.currentTarget.value))}>
        <option value="">drawn from the seed</option>
        ${labels.length > 1 && html`<option value=${EACH}>each class, the same seeds</option>`}
        ${[...new Set([...labels, ...(request.label === null ? [] : [request.label])])].map(
          (name) => html`<option key=${name} value=${`=${name}`}>${name}</option>`,
        )}
      </select>`}
    <//>`
    }
    <div class="pair">
      <${Field} label=${request.each && labels.length > 1 ? "Images of each" : "Images"} error=${errors.count}>
        ${(
          tied,
        ) => html`<input ...${tied} type="number" min="1" max=${COUNT_MAX} step="1" inputmode="numeric"
          value=${request.count} onInput=${on("count")} />`}
      <//>
      <${Field} label="Seed of the first" error=${errors.seed}>
        ${(
          tied,
        ) => html`<input ...${tied} type="number" min="0" max=${SEED_MAX} step="1" inputmode="numeric"
            placeholder="random" autocomplete="off" value=${request.seed} onInput=${on("seed")} />
          <button type="button" class="icon-button framed" aria-label="A new random seed" title="A new random seed"
            aria-disabled=${busy ? "true" : undefined}
            onClick=${() => busy || submit({ seed: String(drawnSeed()) })}>
            <${Icon} name="again" /></button>`}
      <//>
    </div>
    <details open=${advanced} onToggle=${(event) => setAdvanced(event.currentTarget.open)}>
      <summary>Advanced</summary>
      <${Field} label="Truncation" error=${errors.truncation}
        hint="Below 1 is more typical, above 1 more varied.">
        ${(tied) => html`<${Slider} label="Truncation" min="0.05" max=${TRUNCATION_MAX} step="0.05"
          value=${request.truncation} control=${{ ...tied, step: "any", min: 0, onInput: on("truncation") }}
          onChange=${(value) => edit({ truncation: String(value) })} />`}
      <//>
    </details>
    <button class="primary wide" aria-disabled=${busy ? "true" : undefined}>
      ${busy ? "Generating…" : "Generate"} <kbd>Ctrl ↵</kbd>
    </button>
    ${children}
  </form>`;
}

const EACH = "*"; // no class: those begin with =
const chosenClass = (value) => ({
  each: value === EACH,
  label: value.startsWith("=") ? value.slice(1) : null,
});
