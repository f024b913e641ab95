"""Supervised few-shot benchmarks of metarl's algorithms: sinusoid regression, Omniglot and folders of images."""
