"""One page that shows a model, its costs and its pictures."""
