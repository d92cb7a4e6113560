"""Replays of a trace in virtual time: a physical model of shards, driven by the decisions that the control loop would make.

physics   what messages, backlogs and migrations do on shards of limited service rate
arm       one way of deciding, followed over a whole trace
setting   which bins, on how many shards of which rate
"""
