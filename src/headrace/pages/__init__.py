"""Pages that explain themselves: self-contained HTML with plots as SVG, light and dark."""
