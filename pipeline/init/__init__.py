"""`imagegate init`: a first configuration, and small data sets to try it on."""

TASKS = ("single_label", "multi_label", "segmentation")  # those that have a demo
