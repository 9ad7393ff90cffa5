//! The rules of runs, as a state machine without I/O.
