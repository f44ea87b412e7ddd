// The calls about an image beside the others of its version, and about large sets.
import { request, version } from "../api.js";

const nearestPath = (reference, { label, seed }) =>
  `${version(reference)}/samples/${encodeURIComponent(label ?? "_")}/${seed}/nearest`;

/** How near a sample lies to the training images. */
export const nearest = (reference, image, truncation, signal) =>
  request(`${nearestPath(reference, image)}?truncation=${truncation}`, { signal });
/** The training image itself, where the operator lets it be seen. */
export const nearestUrl = (reference, image, truncation) =>
  `${nearestPath(reference, image)}.png?truncation=${truncation}`;

/** The strip from one sample to the one of another seed. */
export function interpolateUrl(reference, { label, seed }, to, steps, truncation) {
  const query = new URLSearchParams({ from: seed, to, steps, truncation });
  if (label !== null) query.set("label", label);
  return `${version(reference)}/interpolate?${query}`;
}

const path = (id, end = "") => `/generate-jobs/${encodeURIComponent(id)}${end}`;

/** Sets that are too large for one answer, newest first. */
export const sets = (signal) => request("/generate-jobs?limit=50", { signal });
export const makeSet = (body) => request("/generate-jobs", { method: "POST", body });
/** @param {"cancel" | "resume"} what */
export const changeSet = (id, what) => request(path(id, `/${what}`), { method: "POST" });
export const deleteSet = (id) => request(path(id), { method: "DELETE" });
export const shards = (id, signal) => request(path(id, "/shards"), { signal });
export const setUrl = (id, end) => path(id, `/${end}`);
