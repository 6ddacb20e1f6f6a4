"""The report of a comparison: `numbers` from finished cells, `tables` and `charts` of them, and the `page`."""
