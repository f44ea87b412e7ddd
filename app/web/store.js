// What the page remembers in this browser.  Storage may be forbidden: it then lasts until a reload.
import { effect, signal } from "./vendor/ui/ui.js";

/**
 * A signal that survives a reload.
 * @template T @param {string} name @param {T} first @param {(value: any) => boolean} allowed
 */
export function kept(name, first, allowed) {
  let start = first;
  try {
    const stored = JSON.parse(localStorage.getItem(name) ?? "null");
    if (stored !== null && allowed(stored)) start = stored;
  } catch {
    // Forbidden, or not ours.
  }
  const value = signal(start);
  effect(() => {
    const text = JSON.stringify(value.value);
    try {
      localStorage.setItem(name, text);
    } catch {
      // It is kept for this visit.
    }
  });
  return value;
}
