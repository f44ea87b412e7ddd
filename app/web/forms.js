// Labelled fields, and where an error message goes.
import { copyButton, h } from "./dom.js";

let made = 0;

/**
 * A labelled control with a place for its error.
 * @param {{name: string, label: string, control: HTMLElement, hint?: string | HTMLElement,
 *   beside?: HTMLElement, inline?: boolean}} options
 *   `name` is the field as the server's problems name it; `inline` puts the label after a checkbox.
 */
export function field({ name, label, control, hint, beside, inline = false }) {
  made += 1;
  control.id ||= `field-${made}`;
  const note = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  const error = h("p", { class: "error", id: `${control.id}-error`, hidden: true });
  if (note) control.setAttribute("aria-describedby", note.id);
  control.dataset.field = name;
  const text = h("label", { for: control.id }, label);
  const line = inline
    ? h("div", { class: "check" }, control, text)
    : h("div", { class: "beside" }, control, beside);
  return h("div", { class: "field" }, !inline && text, line, note, error);
}

/** @param {HTMLElement} control @param {string | null} message null clears it */
export function setError(control, message) {
  const error = document.getElementById(`${control.id}-error`);
  const note = document.getElementById(`${control.id}-hint`);
  if (!error) return;
  error.textContent = message ?? "";
  error.hidden = message === null;
  if (message === null) control.removeAttribute("aria-invalid");
  else control.setAttribute("aria-invalid", "true");
  const ids = [note?.id, message !== null && error.id].filter(Boolean).join(" ");
  if (ids) control.setAttribute("aria-describedby", ids);
  else control.removeAttribute("aria-describedby");
}

/** @param {HTMLElement} form */
export function clearErrors(form) {
  for (const control of form.querySelectorAll("[data-field]")) setError(control, null);
  form.querySelector(".banner")?.remove();
}

/** A message about something that has no field. @param {import("./api.js").Problem} problem */
export function banner(problem) {
  return h(
    "div",
    { class: "banner", role: "alert" },
    h("p", {}, problem.message),
    copyButton({ text: () => problem.details(), label: "Copy details" }),
  );
}

/**
 * Shows a problem beside the fields that it names and moves the focus to the first of them;
 * what names no field of the form goes into a banner at the form's end.
 * @param {HTMLElement} form @param {import("./api.js").Problem} problem
 */
export function showProblem(form, problem) {
  let first = null;
  for (const { field: name, allowed } of problem.errors) {
    const control = [...form.querySelectorAll("[data-field]")].find(
      (c) =>
        (name === c.dataset.field || `${name}`.endsWith(`.${c.dataset.field}`)) &&
        !c.closest("[hidden]"),
    );
    if (!control) continue;
    setError(control, problem.errors.length === 1 ? problem.message : allowed);
    first ??= control;
  }
  if (!first) {
    form.append(banner(problem));
    return;
  }
  const fold = first.closest("details");
  if (fold) fold.open = true;
  first.focus();
}

/**
 * The whole number in a box, or undefined after saying beside it what is allowed.
 * @param {HTMLInputElement} box @returns {number | null | undefined} null: empty and `optional`
 */
export function wholeNumber(box, low, high, optional = false) {
  const text = box.value.trim();
  if (text === "" && optional && !box.validity.badInput) return null;
  const value = Number(text);
  if (text !== "" && Number.isSafeInteger(value) && value >= low && value <= high) return value;
  setError(box, `Use a whole number from ${low} to ${high}.`);
  box.focus();
  return undefined;
}
