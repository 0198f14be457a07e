"""Charts as SVG that the server draws: no script, no inline style, colours from the stylesheet."""
