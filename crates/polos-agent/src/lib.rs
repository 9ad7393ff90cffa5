//! The agent loop, written as a durable workflow.
