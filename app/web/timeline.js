// Samples by epoch: the fixed noise drawn after every epoch, newest shown until someone looks back.
import { mosaicUrl } from "./api.js";
import { h, icon } from "./dom.js";

/**
 * @param {string} id the run's
 * @param {(epoch: number | null) => void} chosen told which epoch is shown
 */
export function createTimeline(id, chosen) {
  let first = 1;
  let last = 0;
  let shown = 0;
  let following = true;
  let wanted = 0;

  const range = h("input", { type: "range", min: 1, max: 1, step: 1, "aria-label": "Epoch" });
  const box = h("input", { type: "number", min: 1, max: 1, step: 1, "aria-label": "Epoch number" });
  const step = (by, name, drawing) =>
    h(
      "button",
      {
        type: "button",
        class: "icon-button framed",
        "aria-label": name,
        title: name,
        onclick: () => go(shown + by),
      },
      icon(drawing),
    );
  const before = step(-1, "Previous epoch", "left");
  const after = step(1, "Next epoch", "right");
  const newest = h("button", { type: "button", onclick: () => go(last, true) }, "Newest");
  const controls = h("div", { class: "timeline", hidden: true }, before, range, after, box, newest);
  const image = h("img", { class: "mosaic", hidden: true, alt: "" });
  const waiting = h(
    "p",
    { class: "hint waiting" },
    "The first samples come with the end of epoch 1.",
  );
  const missing = h("p", { class: "error", role: "status", hidden: true });
  const element = h(
    "section",
    { class: "panel", "aria-labelledby": "samples" },
    h(
      "div",
      { class: "bar" },
      h("h2", { id: "samples" }, "Samples by epoch"),
      h("span", { class: "hint" }, "the same noise each time"),
    ),
    controls,
    waiting,
    h("div", { class: "mosaic-box" }, image),
    missing,
  );

  range.addEventListener("input", () => go(Number(range.value)));
  box.addEventListener("change", () => go(Number(box.value)));

  /** @param {number} epoch @param {boolean} [follow] whether later epochs replace it */
  function go(epoch, follow = false) {
    if (!last || !Number.isFinite(epoch)) return;
    shown = Math.min(Math.max(Math.round(epoch), first), last);
    following = follow || shown === last;
    controls.hidden = false;
    waiting.hidden = true;
    for (const control of [range, box]) {
      control.min = String(first);
      control.max = String(last);
      control.value = String(shown);
    }
    range.setAttribute("aria-valuetext", `epoch ${shown} of ${last}`);
    before.setAttribute("aria-disabled", String(shown === first));
    after.setAttribute("aria-disabled", String(shown === last));
    newest.setAttribute("aria-disabled", String(shown === last));
    chosen(shown);
    load(shown);
  }

  /** The mosaic on screen stays until the next one is decoded, so that sliding does not flicker. */
  async function load(epoch) {
    wanted = epoch;
    const next = new Image();
    next.src = mosaicUrl(id, epoch);
    try {
      await next.decode();
    } catch {
      if (wanted !== epoch) return;
      missing.textContent = `The samples of epoch ${epoch} could not be loaded.`;
      missing.hidden = false;
      return;
    }
    if (wanted !== epoch) return;
    missing.hidden = true;
    image.src = next.src;
    image.width = next.naturalWidth;
    image.height = next.naturalHeight;
    image.alt = `Synthetic images from the fixed noise, epoch ${epoch}`;
    image.hidden = false;
  }

  return {
    element,
    /** An epoch whose samples exist. @param {number} epoch */
    add(epoch) {
      if (!(epoch > 0) || epoch <= last) return;
      first = last ? first : 1;
      last = epoch;
      go(following ? last : shown);
    },
  };
}
