// The calls about studies.
import { request, sendFile } from "../api.js";

/** Studies, newest first. */
export const studies = (signal) => request("/studies?limit=50", { signal });
export const study = (id, signal) => request(`/studies/${encodeURIComponent(id)}`, { signal });
/** What a study would take, measured where it would run: asked again until it is known. */
export const estimateStudy = (body, signal) =>
  request("/studies/estimates", { method: "POST", body, signal });
export const startStudy = (body, signal) => request("/studies", { method: "POST", body, signal });
/** @param {"cancel" | "resume"} what */
export const changeStudy = (id, what) =>
  request(`/studies/${encodeURIComponent(id)}/${what}`, { method: "POST" });
export const deleteStudy = (id) =>
  request(`/studies/${encodeURIComponent(id)}`, { method: "DELETE" });
/** Score a model of one's own on a study's test images. @param {File} file a CSV */
export const scoreStudy = (id, name, file) =>
  sendFile(
    `/studies/${encodeURIComponent(id)}/scores?name=${encodeURIComponent(name)}`,
    file,
    "text/csv",
  );
export const studyResults = (id, signal) =>
  request(`/studies/${encodeURIComponent(id)}/results.json`, { signal });
