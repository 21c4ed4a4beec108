"""One file a row, or a group of rows: a function `rows()` that yields them."""
