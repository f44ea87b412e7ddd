// Numbers and times as people read them.

/** 0.3456 → "0.346"; large and tiny values keep three digits. @param {number | null | undefined} v */
export function number(v) {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size < 0.001) return v.toExponential(1);
  return size >= 100 ? v.toFixed(0) : size >= 10 ? v.toFixed(1) : v.toFixed(3);
}

/** 4000 → "4,000". @param {number} v */
export const whole = (v) => v.toLocaleString("en");

/** 661 → "11 min". @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.round(hours / 24)} days`;
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** A moment as "3 min ago". @param {string} moment ISO 8601 */
export function ago(moment) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (seconds < 45) return "just now";
  const hours = Math.round(seconds / 3600);
  return `${seconds < 3600 ? duration(seconds) : hours < 48 ? `${hours} h` : duration(seconds)} ago`;
}

/** "14:03:09" in the reader's zone. @param {string} moment ISO 8601 */
export function clock(moment) {
  const at = new Date(moment);
  return Number.isNaN(at.getTime()) ? "" : at.toLocaleTimeString("en-GB");
}

/** What is left of a run in words, or "" where nobody knows. @param {number | null | undefined} eta */
export const left = (eta) =>
  eta === null || eta === undefined ? "" : `about ${duration(eta)} left`;

/** 123456789 → "118 MB". @param {number} bytes */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/**
 * Epsilon and delta of a version with differential privacy, of a patient or of an image.
 * @param {{ epsilon: number | null, delta: number, per: string }} said
 */
export const guarantee = ({ epsilon, delta, per }) =>
  `ε ${epsilon?.toFixed(1) ?? "∞"}, δ ${delta.toExponential(0)} per ${per}`;
