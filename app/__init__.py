"""Floor 2: HTTP in, pictures out.  Never brings torch with `import app.main`."""

import worker  # noqa: F401  before redis-py is imported
