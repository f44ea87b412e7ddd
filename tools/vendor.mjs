// Rebuilds app/web/vendor from the npm registry's packages, and the list of what is there.
//
//     node tools/vendor.mjs
//
// Needs Node and a network; nothing else of the project does.  Preact, its signals and htm become
// one module, so that the page needs no import map, which a strict policy would have to allow.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PACKAGES = [
  ["preact", "11.2.0", "MIT", "ui", { "preact/LICENSE": "LICENSE.preact" }],
  ["@preact/signals", "2.11.4", "MIT", "ui", { "@preact/signals/LICENSE": "LICENSE.signals" }],
  ["@preact/signals-core", "1.14.5", "MIT", "ui", {}],
  ["htm", "3.1.1", "Apache-2.0", "ui", { "htm/LICENSE": "LICENSE.htm", "ui.js": "ui.js" }],
  [
    "uplot",
    "1.6.32",
    "MIT",
    "uplot",
    {
      "uplot/LICENSE": "LICENSE",
      "uplot.js": "uplot.js",
      "uplot/dist/uPlot.min.css": "uplot.css",
    },
  ],
  [
    "@fontsource-variable/inter",
    "5.3.0",
    "OFL-1.1",
    "inter",
    {
      "@fontsource-variable/inter/LICENSE": "LICENSE",
      "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
    },
  ],
  [
    "swagger-ui-dist",
    "5.35.0",
    "Apache-2.0",
    "swagger-ui",
    Object.fromEntries(
      [
        "LICENSE",
        "NOTICE",
        "swagger-ui-bundle.js",
        "swagger-ui-bundle.js.LICENSE.txt",
        "swagger-ui.css",
      ].map((name) => [`swagger-ui-dist/${name}`, name]),
    ),
  ],
];
const ESBUILD = "esbuild@0.28.2";
const UI = `
export { Component, Fragment, createContext, createRef, h, render } from "preact";
export * from "preact/hooks";
export * from "@preact/signals";
import { h } from "preact";
import htm from "htm";
export const html = htm.bind(h);
`;
const UPLOT = 'export { default } from "uplot";';

const vendor = new URL("../app/web/vendor/", import.meta.url).pathname;
const work = mkdtempSync(join(tmpdir(), "vendor-"));
const modules = join(work, "node_modules");

function run(...command) {
  execFileSync(command[0], command.slice(1), { cwd: work, stdio: "inherit" });
}

function bundle(name, source) {
  writeFileSync(join(work, `${name}.src.js`), source);
  const options = [
    "--bundle",
    "--format=esm",
    "--minify",
    "--legal-comments=none",
    "--target=es2022",
  ];
  run("npx", "esbuild", `${name}.src.js`, ...options, `--outfile=${join(modules, `${name}.js`)}`);
}

writeFileSync(join(work, "package.json"), '{"private": true}');
run(
  "npm",
  "install",
  "--no-audit",
  "--no-fund",
  ESBUILD,
  ...PACKAGES.map(([name, v]) => `${name}@${v}`),
);
bundle("ui", UI);
bundle("uplot", UPLOT);

const locked = JSON.parse(readFileSync(join(work, "package-lock.json"), "utf8")).packages;
const list = PACKAGES.map(([name, version, licence, folder, files]) => {
  mkdirSync(join(vendor, folder), { recursive: true });
  const hashes = Object.entries(files).map(([from, to]) => {
    const path = `${folder}/${to}`;
    cpSync(join(modules, from), join(vendor, path));
    return [
      path,
      createHash("sha256")
        .update(readFileSync(join(vendor, path)))
        .digest("hex"),
    ];
  });
  const { integrity } = locked[`node_modules/${name}`];
  return { name, version, licence, integrity, folder, files: Object.fromEntries(hashes) };
});
writeFileSync(join(vendor, "VENDOR.json"), `${JSON.stringify(list, null, 2)}\n`);
rmSync(work, { recursive: true });
