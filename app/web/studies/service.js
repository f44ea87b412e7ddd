// The calls about studies.
import { request, sendFile } from "../api.js";

const path = (id, end = "") => `/studies/${encodeURIComponent(id)}${end}`;

/** Studies, newest first. */
export const studies = (signal) => request("/studies?limit=50", { signal });
export const study = (id, signal) => request(path(id), { signal });
/** What a study would take, measured where it would run: asked again until it is known. */
export const estimateStudy = (body, signal) =>
  request("/studies/estimates", { method: "POST", body, signal });
export const startStudy = (body, signal) => request("/studies", { method: "POST", body, signal });
/** @param {"cancel" | "resume"} what */
export const changeStudy = (id, what) => request(path(id, `/${what}`), { method: "POST" });
export const deleteStudy = (id) => request(path(id), { method: "DELETE" });
/** Score a model of one's own on a study's test images. @param {File} file a CSV */
export const scoreStudy = (id, name, file) =>
  sendFile(path(id, `/scores?name=${encodeURIComponent(name)}`), file, "text/csv");
export const studyResults = (id, signal) => request(path(id, "/results.json"), { signal });
