"""Floor 2: HTTP in, pictures out.  Never brings torch with `import app.main`."""
