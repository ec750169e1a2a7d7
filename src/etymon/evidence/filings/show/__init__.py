"""A dossier as Markdown and as a page."""
