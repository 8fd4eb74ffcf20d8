"""Machine images: which ones there are, which is pinned for which nodes, and the pipeline that makes them."""
