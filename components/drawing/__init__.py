"""Charts as SVG, and masks drawn over their images."""
