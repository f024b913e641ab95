"""Supervised few-shot benchmarks: sinusoid regression, Omniglot and folders of images, with metarl's own learners."""
