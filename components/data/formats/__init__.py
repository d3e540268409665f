"""What files hold that are, or should be, images: their formats, bands, pages and bit depths."""
