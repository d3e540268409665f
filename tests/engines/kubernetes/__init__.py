"""Flink on Kubernetes, without a cluster: the resources of docs/flink-on-kubernetes.yaml against their schema."""
