"""Scenarios: small situations in text files, each with what came of it written below, so that a change shows as a diff.

scenario   what a scenario says, as values
parse      its text, read
build      its messages, events and shards, as arrays
play       one way of deciding, followed through it on modelled shards
outcome    what came of it, as text
library    the scenarios that come with plb-ray
"""
