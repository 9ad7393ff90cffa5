"""The replay core: a state machine between a run's journal and its code.

It knows keys, order, `once` steps, retries, cancellation, waiting and re-attachment. It does no I/O,
keeps no clock and draws no random number: the time is passed in, frames and requests go in, frames
and effects to begin come out.
"""
