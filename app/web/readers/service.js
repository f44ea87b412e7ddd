// The calls about reader studies.
import { request } from "../api.js";

const path = (id, end = "") => `/reader-studies/${encodeURIComponent(id)}${end}`;

export const studies = (signal) => request("/reader-studies", { signal });
export const study = (id, signal) => request(path(id), { signal });
export const results = (id, signal) => request(path(id, "/results.json"), { signal });
export const makeStudy = (body) => request("/reader-studies", { method: "POST", body });
export const invite = (id, name) =>
  request(path(id, "/readers"), { method: "POST", body: { name } });
export const removeReader = (id, reader) =>
  request(path(id, `/readers/${encodeURIComponent(reader)}`), { method: "DELETE" });
export const closeStudy = (id) => request(path(id, "/close"), { method: "POST" });
export const deleteStudy = (id) => request(path(id), { method: "DELETE" });
export const csvUrl = (id) => path(id, "/results.csv");
export const imagesUrl = (id) => path(id, "/images.zip");
