// The calls about versions and their reports.
import { request, version } from "../api.js";

export const model = (reference, signal) => request(version(reference), { signal });
export const activate = (reference) =>
  request(`${version(reference)}/activate`, { method: "POST" });
export const gridUrl = (reference) => `${version(reference)}/samples.png`;
export const cardUrl = (reference) => `${version(reference)}/card`;
export const reports = (reference, signal) => request(`${version(reference)}/reports`, { signal });
export const report = (reference, id, signal) =>
  request(`${version(reference)}/reports/${id}`, { signal });
export const reportUrl = (reference, id, end) => `${version(reference)}/reports/${id}/${end}`;
export const makeReport = (reference, body) =>
  request(`${version(reference)}/reports`, { method: "POST", body });
export const compareModels = (one, other, signal) =>
  request(`/models/compare?${new URLSearchParams({ one, other })}`, { signal });
