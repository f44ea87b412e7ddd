// The API's own description, shown by the vendored Swagger UI.

// Its dark colours hang on this class; it follows the theme that theme.js has set.
document.documentElement.classList.toggle(
  "dark-mode",
  document.documentElement.dataset.theme === "dark",
);

globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  // Without this it would send the description to a validator elsewhere.
  validatorUrl: null,
  presets: [globalThis.SwaggerUIBundle.presets.apis],
});
