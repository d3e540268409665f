"""Label kinds, one module each: the labels of a task, their metrics, and the answers of its models.

`kinds.kind` looks up the kind of a task. No other package compares the name of a task: it asks `kind.LabelKind`. The
heads and losses are in `learning`. Only the model package imports it, so that nothing else loads Keras or is run again
after a change there.
"""
