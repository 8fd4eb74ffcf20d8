"""What is learned and how: the models, a site's fit, the metrics, and how the sites' updates become one model."""
