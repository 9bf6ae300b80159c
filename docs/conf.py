"""How Sphinx builds the site: `make docs`. It reads docs/ alone and needs no network."""

from __future__ import annotations

project = "open-webui-stack"
author = "the open-webui-stack contributors"
extensions = ["myst_parser"]
myst_enable_extensions = ["alert", "deflist"]
# Anchors as GitHub makes them, so that one link works there and on the site.
myst_heading_anchors = 4
exclude_patterns = ["_build"]
# A value in quotes is copied as it is typed.
smartquotes = False
html_theme = "furo"
html_title = "open-webui-stack"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
# `console` has prompts and output; pygments marks what it can't read as an error otherwise.
highlight_language = "text"
