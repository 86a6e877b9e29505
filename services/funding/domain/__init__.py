"""Pools, awards and drawdowns: their states, and what may happen in which of them, in plain Python.

The classes named ``...Facts`` say what the rules read and set; the tables of ``models`` have the same attributes.
Functions are named after the commands. Each either changes its subject or raises an error for the caller.
"""
