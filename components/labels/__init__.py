"""Label kinds, one module each: what the labels of a task are, how their metrics count, what its models answer.

`kinds.kind` gives the kind of a task. No other package compares the name of a task: what it needs is an attribute or
method of `kind.LabelKind`. How each kind learns is in `learning`, which only the model package imports, so that
nothing else loads Keras or is run again after a change there.
"""
