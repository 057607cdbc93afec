"""HTML pages that need no network: their document, their charts, their templates."""
