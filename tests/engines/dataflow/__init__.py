"""Dataflow without Google: a service on this machine that takes its jobs and does them."""
