// Configurations as rows of a table.
const shownAs = (value) =>
  value === null || value === undefined
    ? "–"
    : value === true
      ? "yes"
      : value === false
        ? "no"
        : String(value);

/** @returns {[string, string][]} names and values, groups flattened */
export function flat(config, prefix = "") {
  return Object.entries(config ?? {}).flatMap(([key, value]) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? flat(value, `${prefix}${key} `)
      : [[`${prefix}${key}`.replaceAll("_", " "), shownAs(value)]],
  );
}
