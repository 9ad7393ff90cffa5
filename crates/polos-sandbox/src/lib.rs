//! Boxes that hold: policy, isolation and environments.
